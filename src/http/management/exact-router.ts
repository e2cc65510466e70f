import express, { type Router } from 'express';

/**
 * A router that knows each path by one spelling, which it does not take from the application: in lower and upper case as it is
 * written and without a further slash, so that what a proxy in front lets through or keeps by its path is that and no more.
 */
export function exactRouter(): Router {
  return express.Router({ caseSensitive: true, strict: true });
}

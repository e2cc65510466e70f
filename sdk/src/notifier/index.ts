export type { LogFields, SdkLog } from '../log.js';
export { approvalBody } from './approval-body.js';
export { EventNotifier } from './event-notifier.js';
export type { EventNotifierOptions } from './notifier-options.js';
export type {
  FailedNotification,
  HandlerContext,
  LeftNotification,
  NotifierEvent,
  NotifierHandler,
  NotifyAnswer,
  NotifyOptions,
  RegisterOptions,
  StopResult,
} from './notification.js';
export { NotifierStoppedError, QueueFullError, WebhookFailedError } from './notifier-errors.js';
export { WebhookHandler } from './webhook-handler.js';
export type { WebhookHandlerOptions } from './webhook-handler.js';

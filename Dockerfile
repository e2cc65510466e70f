FROM node:20-bookworm AS build
WORKDIR /app
COPY package.json package-lock.json ./
COPY sdk/package.json sdk/
RUN npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ormconfig.ts ./
COPY sdk sdk
COPY migrations migrations
COPY src src
COPY scripts/prepare.mjs scripts/build.mjs scripts/
RUN npm run build && npm prune --omit=dev --no-audit --no-fund

FROM node:20-bookworm-slim
# Half of these threads look names up, and one that its name server leaves waiting is held for seconds (docs/operations.md).
ENV NODE_ENV=production \
    UV_THREADPOOL_SIZE=16 \
    EVENT_CENTER_HOST=0.0.0.0 \
    EVENT_CENTER_DATA_DIR=/data
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/sdk/package.json sdk/
COPY --from=build /app/sdk/dist sdk/dist
COPY --from=build /app/dist dist
COPY config config
COPY scripts/healthcheck.mjs scripts/
RUN mkdir /data && chown node:node /data
VOLUME /data
USER node
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["node", "scripts/healthcheck.mjs"]
# main.js takes SIGTERM and SIGINT itself and starts no processes, so it needs no init before it.
ENTRYPOINT ["node", "dist/src/main.js"]
CMD ["serve"]

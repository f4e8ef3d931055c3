# syntax=docker/dockerfile:1
#
# docker build --target sidecar  -t pontoon .            the sidecar, without a shell
# docker build --target migrator -t pontoon-migrator .   database clients and the AWS CLI beside it
#
# The runtime is named by its digest, so that a build tomorrow is the build of today. To move on:
#   docker buildx imagetools inspect gcr.io/distroless/nodejs24-debian12:nonroot
ARG NODE_IMAGE=node:24-bookworm-slim
ARG MIGRATOR_IMAGE=node:24-trixie-slim
ARG RUNTIME_IMAGE=gcr.io/distroless/nodejs24-debian12:nonroot@sha256:14d42e2511532589a7c7e01a753667a74fcc96266e137e8125006b87b0c32d0a

# --- build: everything that the product itself does not need stays behind here ----------------

FROM ${NODE_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund

FROM dependencies AS build
COPY tsconfig.json tsconfig.build.json ./
COPY scripts/copy-static.mjs scripts/copy-static.mjs
COPY src src
COPY config config
RUN npm run build
RUN npm prune --omit=dev --no-audit --no-fund
# A volume mounted there takes over this folder's owner.
RUN mkdir -p /state && chmod 0700 /state

# --- the sample application, for deploy/docker-compose.yml ------------------------------------

FROM dependencies AS sample-app
COPY tsconfig.json ./
COPY scripts/demo/sample-app scripts/demo/sample-app
USER node
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "--import=tsx", "scripts/demo/sample-app/main.ts"]

# --- the migrator: runs as a Job, needs what the sidecar must not have ------------------------

FROM ${MIGRATOR_IMAGE} AS migrator
ARG VERSION=0.0.0-local
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="pontoon-migrator" \
      org.opencontainers.image.description="Schema, copy and verification of a migration with Pontoon." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
RUN apt-get update \
  && apt-get install -y --no-install-recommends awscli ca-certificates openssl postgresql-client redis-tools \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY --from=build /app/package.json package.json
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY --from=build /app/config config
COPY --from=build --chown=65532:65532 /state /state
RUN mkdir bin && chmod 0755 dist/main.js && ln -s ../dist/main.js bin/pontoon
ENV NODE_ENV=production PATH=/app/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
USER 65532:65532
VOLUME ["/state"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["pontoon"]
CMD ["help"]

# --- the sidecar ------------------------------------------------------------------------------

FROM ${RUNTIME_IMAGE} AS sidecar
ARG VERSION=0.0.0-local
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="pontoon" \
      org.opencontainers.image.description="A sidecar that moves a running application to managed databases." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
WORKDIR /app
COPY --from=build /app/package.json package.json
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY --from=build /app/config config
COPY --from=build --chown=65532:65532 /state /state
ENV NODE_ENV=production
USER 65532:65532
EXPOSE 6432 6380 7070 9901
VOLUME ["/state"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["/nodejs/bin/node", "/app/dist/main.js", "health", "ready"]
ENTRYPOINT ["/nodejs/bin/node", "/app/dist/main.js"]
CMD ["serve", "--config", "/config/database.yml"]

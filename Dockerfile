# The binary, what it is linked to, certificates and a health check: no distribution, no package manager.
# docs/deployment.md, "In containers", says how to run it; docs/decisions/0019 why it is made this way.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --package tenantry-app --bin tenantry \
    && install -D target/release/tenantry /out/tenantry
RUN bash deploy/container/rootfs /out/tenantry /rootfs

FROM scratch
COPY --from=build /rootfs /
# For an SQLite database, as a volume: what a mount is made from has to belong to the user.
COPY --from=build --chown=10001:10001 /rootfs/data /data
ENV HOST=0.0.0.0 PORT=8000 LOG_FORMAT=json
USER 10001:10001
WORKDIR /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/bin/bash", "/usr/libexec/tenantry/healthcheck"]
ENTRYPOINT ["/usr/bin/tenantry"]
CMD ["serve"]

# Haulout's images by docker or podman, with the same files as `cargo xtask image` writes without them:
#
#   docker build --target haulout-webhook --tag haulout/haulout-webhook:0.1.0 .
#   docker build --target haulout-agent --tag haulout/haulout-agent:0.1.0 .

FROM rust:1.95.0-slim-bookworm AS build
# The image's own toolchain, without the components that only developers need.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /haulout
COPY . .
RUN cargo xtask image --output /images
# An archive has one layer, which is named by its digest.
RUN for name in haulout-webhook haulout-agent; do \
      mkdir -p "/unpacked/$name" "/root-of/$name" && \
      tar -xf "/images/$name.tar" -C "/unpacked/$name" && \
      tar -xf "/unpacked/$name"/*.tar -C "/root-of/$name" || exit 1; \
    done

FROM scratch AS haulout-agent
COPY --from=build /root-of/haulout-agent/ /
WORKDIR /
USER 65535:65535
EXPOSE 9443/tcp 9444/tcp
ENTRYPOINT ["/haulout-agent"]

FROM scratch AS haulout-webhook
COPY --from=build /root-of/haulout-webhook/ /
WORKDIR /
USER 65532:65532
EXPOSE 8080/tcp 8443/tcp 10250/tcp
ENTRYPOINT ["/haulout-webhook"]

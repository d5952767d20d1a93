# The binary alone, on a small image, as a user without rights.
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev make cmake perl && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs ./
COPY .cargo .cargo
COPY src src
COPY sql sql
# Cargo.toml names them, so Cargo wants to see them. Nothing of them is built.
COPY benches benches
COPY tests/harness tests/harness
RUN cargo build --release --locked

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --no-create-home rowhook
COPY --from=build /src/target/release/rowhook /usr/local/bin/rowhook
USER rowhook
WORKDIR /etc/rowhook
ENTRYPOINT ["rowhook"]
CMD ["run"]

# The binary alone, on a small image, as a user without rights.
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev make cmake perl && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY src src
COPY sql sql
# Named in Cargo.toml, and so they have to be there.
COPY benches benches
RUN cargo build --release --locked

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --no-create-home rowhook
COPY --from=build /src/target/release/rowhook /usr/local/bin/rowhook
USER rowhook
WORKDIR /etc/rowhook
ENTRYPOINT ["rowhook"]
CMD ["run"]

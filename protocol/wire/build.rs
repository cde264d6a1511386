//! Compiles client.proto and node.proto into Rust; owns nothing else.
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let protos = ["../client.proto", "../node.proto"].map(Path::new);
    for proto in protos {
        println!("cargo:rerun-if-changed={}", proto.display());
    }
    let descriptors = protox::compile(protos, [".."])?;
    prost_build::Config::new().bytes(["."]).compile_fds(descriptors)?;
    Ok(())
}

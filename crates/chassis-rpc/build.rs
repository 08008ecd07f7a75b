//! Compiles etcd's protocol, without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto/etcd.proto");
    #[cfg(feature = "etcd")]
    {
        let set = protox::compile(["etcd.proto"], ["proto"])?;
        tonic_prost_build::configure().build_transport(false).build_server(false).compile_fds(set)?;
    }
    Ok(())
}

//! `grpc.reflection`: what is served, described by itself, in the version that tools ask first and the one
//! that older ones know.

use super::{endpoint::Handler, services::LARGEST_MESSAGE};
use tonic_reflection::server::{Builder, Error};
use tower::util::BoxCloneSyncService;

/// The one method of both versions.
pub(super) const METHOD: &str = "ServerReflectionInfo";

/// A descriptor that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("a protocol's descriptor: {0}")]
pub struct Unreadable(#[from] Error);

/// Both versions, by name.
pub(super) fn services(descriptors: &[&'static [u8]]) -> Result<[(&'static str, Handler); 2], Unreadable> {
    let builder = || {
        let begun = Builder::configure();
        descriptors.iter().fold(begun, |builder, set| builder.register_encoded_file_descriptor_set(set))
    };
    let v1 = builder().build_v1()?.max_decoding_message_size(LARGEST_MESSAGE);
    let alpha = builder().build_v1alpha()?.max_decoding_message_size(LARGEST_MESSAGE);
    Ok([
        ("grpc.reflection.v1.ServerReflection", BoxCloneSyncService::new(v1)),
        ("grpc.reflection.v1alpha.ServerReflection", BoxCloneSyncService::new(alpha)),
    ])
}

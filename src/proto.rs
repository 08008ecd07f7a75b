//! The protocol between the services, generated from `proto/`, which documents it.

#![expect(
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    reason = "generated"
)]

/// `proto/epro/v1/epro.proto`.
pub mod epro {
    tonic::include_proto!("epro.v1");

    /// The compiled protocol, for reflection.
    pub const DESCRIPTOR: &[u8] = tonic::include_file_descriptor_set!("epro.v1");
}

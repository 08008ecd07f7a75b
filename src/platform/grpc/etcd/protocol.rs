//! The code generated from `proto/etcd/rpc.proto`.

#![expect(unused_qualifications, clippy::allow_attributes_without_reason, reason = "generated")]

tonic::include_proto!("etcdserverpb");

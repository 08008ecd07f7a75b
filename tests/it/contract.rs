//! The protocol as it was published, against the protocol as it is compiled: nothing that a caller relies on
//! goes away or becomes something else. What is added is written down by
//! `WRITE_CONTRACT=1 cargo test --test it -- contract::`, which refuses anything else.

use epro_notify::proto::epro::DESCRIPTOR;
use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet, ServiceDescriptorProto,
    field_descriptor_proto::{Label, Type},
};
use std::{collections::BTreeSet, fs, path::PathBuf};

const HEAD: &str = "\
# What is published: a line is only ever added, by `WRITE_CONTRACT=1 cargo test --test it -- contract::`.
";

fn path() -> PathBuf {
    PathBuf::from("proto/epro/v1/epro.contract")
}

fn compiled() -> FileDescriptorSet {
    FileDescriptorSet::decode(DESCRIPTOR).unwrap()
}

/// Everything that a caller can rely on, a line each.
fn lines(set: &FileDescriptorSet) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for file in &set.file {
        let package = format!(".{}", file.package());
        file.message_type.iter().for_each(|message| tell_message(&package, message, &mut lines));
        file.enum_type.iter().for_each(|one| tell_enum(&package, one, &mut lines));
        file.service.iter().for_each(|service| tell_service(&package, service, &mut lines));
    }
    lines
}

fn tell_message(inside: &str, message: &DescriptorProto, lines: &mut BTreeSet<String>) {
    let name = format!("{inside}.{}", message.name());
    lines.insert(format!("{name} message"));
    for field in &message.field {
        let group = field.oneof_index.map(|at| message.oneof_decl[at as usize].name());
        lines.insert(format!("{name} field {}", told(field, group)));
    }
    message.nested_type.iter().for_each(|nested| tell_message(&name, nested, lines));
    message.enum_type.iter().for_each(|one| tell_enum(&name, one, lines));
}

/// Number, kind, type, name, and the name in JSON.
fn told(field: &FieldDescriptorProto, group: Option<&str>) -> String {
    let kind = match field.label() {
        Label::Repeated => "repeated",
        Label::Required => "required",
        Label::Optional if field.proto3_optional() => "optional",
        Label::Optional => "single",
    };
    let kind = group.map_or(kind.to_owned(), |group| format!("{kind} of {group}"));
    let of_type = match field.r#type() {
        Type::Message | Type::Enum | Type::Group => field.type_name().to_owned(),
        plain => plain.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    };
    format!("{:>3} {kind} {of_type} {} json={}", field.number(), field.name(), field.json_name())
}

fn tell_enum(inside: &str, one: &EnumDescriptorProto, lines: &mut BTreeSet<String>) {
    for value in &one.value {
        lines.insert(format!("{inside}.{} value {:>3} {}", one.name(), value.number(), value.name()));
    }
}

fn tell_service(inside: &str, service: &ServiceDescriptorProto, lines: &mut BTreeSet<String>) {
    for method in &service.method {
        let streams = |streams: bool| if streams { "stream of " } else { "" };
        lines.insert(format!(
            "{inside}.{} rpc {}({}{}) returns ({}{})",
            service.name(),
            method.name(),
            streams(method.client_streaming()),
            method.input_type(),
            streams(method.server_streaming()),
            method.output_type(),
        ));
    }
}

#[test]
fn the_protocol_keeps_everything_that_was_published() {
    let text = fs::read_to_string(path()).unwrap_or_default();
    let published: BTreeSet<String> =
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    let now = lines(&compiled());
    let (gone, new): (Vec<_>, Vec<_>) =
        (published.difference(&now).collect(), now.difference(&published).collect());
    assert!(gone.is_empty(), "callers rely on what is no more: {gone:#?}\nnew is: {new:#?}");
    if std::env::var_os("WRITE_CONTRACT").is_some() {
        let all: Vec<&str> = now.iter().map(String::as_str).collect();
        fs::write(path(), format!("{HEAD}{}\n", all.join("\n"))).unwrap();
        return;
    }
    assert!(new.is_empty(), "write it down: WRITE_CONTRACT=1 cargo test --test it -- contract::\n{new:#?}");
}

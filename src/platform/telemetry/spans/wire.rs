//! Protobuf's encoding, as far as spans need it (<https://protobuf.dev/programming-guides/encoding/>).
//!
//! Length-delimited parts are written first and their length put before them afterwards, so that
//! nothing is walked twice.

/// Wire types of protobuf's encoding.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const DELIMITED: u8 = 2;
const FIXED32: u8 = 5;

fn tag(out: &mut Vec<u8>, field: u8, wire: u8) {
    // Every field number here is below 16 times 8, so a tag takes at most two bytes.
    varint(out, u64::from(field) << 3 | u64::from(wire));
}

/// Appends a base-128 varint.
fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A varint that is left out where it is zero, as protobuf's third version has it.
pub(super) fn number(out: &mut Vec<u8>, field: u8, number: u64) {
    if number != 0 {
        present(out, field, number);
    }
}

/// Appends a varint field.
pub(super) fn present(out: &mut Vec<u8>, field: u8, number: u64) {
    tag(out, field, VARINT);
    varint(out, number);
}

/// Appends a field of eight bytes, little-endian.
pub(super) fn fixed64(out: &mut Vec<u8>, field: u8, bits: u64) {
    tag(out, field, FIXED64);
    out.extend_from_slice(&bits.to_le_bytes());
}

/// Appends a field of four bytes, little-endian.
pub(super) fn fixed32(out: &mut Vec<u8>, field: u8, bits: u32) {
    tag(out, field, FIXED32);
    out.extend_from_slice(&bits.to_le_bytes());
}

/// Appends a string or bytes field.
pub(super) fn bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    tag(out, field, DELIMITED);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends the tag and length of a part that `length` bytes follow.
pub(super) fn head(out: &mut Vec<u8>, field: u8, length: usize) {
    tag(out, field, DELIMITED);
    varint(out, length as u64);
}

/// Appends a message in `field`.
pub(super) fn nested(out: &mut Vec<u8>, field: u8, write: impl FnOnce(&mut Vec<u8>)) {
    tag(out, field, DELIMITED);
    let at = out.len();
    // Nearly every part is shorter than 128 bytes, so one byte is left for its length.
    out.push(0);
    write(out);
    let length = out.len() - at - 1;
    match out.get_mut(at) {
        Some(byte) if length < 0x80 => *byte = length as u8,
        _ => {
            let mut prefix = Vec::with_capacity(10);
            varint(&mut prefix, length as u64);
            out.splice(at..=at, prefix);
        }
    }
}

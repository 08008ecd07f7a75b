//! Counting the spans of an OTLP request without decoding them: the sink shares the cores that are measured.

/// The spans of an `ExportTraceServiceRequest`: field 1 of it are `ResourceSpans`, whose field 2 are `ScopeSpans`, whose
/// field 2 are spans.
pub fn spans(request: &[u8]) -> u64 {
    let scopes = fields(request, 1).flat_map(|resource| fields(resource, 2));
    scopes.map(|scope| fields(scope, 2).count() as u64).sum()
}

/// The length-delimited fields of this number, up to the first that is of another kind or cut off.
fn fields(mut message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        loop {
            let tag = varint(&mut message)?;
            let length = usize::try_from(varint(&mut message)?).ok().filter(|_| tag & 7 == 2)?;
            let (field, rest) = message.split_at_checked(length)?;
            message = rest;
            if tag >> 3 == number {
                return Some(field);
            }
        }
    })
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

//! Taking an input apart.

/// Takes the first byte; 0 when there is none.
pub(crate) fn byte(data: &mut &[u8]) -> u8 {
    match data.split_first() {
        Some((first, rest)) => {
            *data = rest;
            *first
        }
        None => 0,
    }
}

/// Takes a number of four bytes, or of those there are.
pub(crate) fn number(data: &mut &[u8]) -> u32 {
    (0..4).fold(0, |number, _| number << 8 | u32::from(byte(data)))
}

/// Takes what stands before the next line end, and the line end.
pub(crate) fn line<'d>(data: &mut &'d [u8]) -> &'d [u8] {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let line = &data[..end];
    *data = data.get(end + 1..).unwrap_or_default();
    line
}

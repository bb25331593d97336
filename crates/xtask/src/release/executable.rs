//! Whether a program of Linux runs wherever the kernel does: it names no loader for shared libraries.

/// Kind of the segment that names one.
const INTERPRETER: u32 = 3;

/// Whether it is an ELF file of 64 bits that is linked statically.
pub(super) fn is_static(elf: &[u8]) -> bool {
    segment_kinds(elf).is_some_and(|kinds| !kinds.contains(&INTERPRETER))
}

/// The kinds of its segments, of which each program has some.
fn segment_kinds(elf: &[u8]) -> Option<Vec<u32>> {
    let is_64_bit_little_endian = elf.starts_with(b"\x7fELF\x02\x01");
    let number = |at: usize, length: usize| {
        let bytes = elf.get(at..at.checked_add(length)?)?;
        let number = bytes
            .iter()
            .rev()
            .fold(0, |n, byte| n << 8 | u64::from(*byte));
        usize::try_from(number).ok()
    };
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let kind = |index: usize| {
        let at = table.checked_add(index.checked_mul(size)?)?;
        u32::try_from(number(at, 4)?).ok()
    };
    let kinds: Option<Vec<u32>> = (0..count).map(kind).collect();
    kinds.filter(|kinds| is_64_bit_little_endian && !kinds.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_need_a_loader_are_known() {
        // This test is such a program.
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(segment_kinds(&own).unwrap().contains(&INTERPRETER));
        assert!(!is_static(&own));
        // The same but for the name of its loader.
        let mut without = own.clone();
        let kinds = segment_kinds(&own).unwrap();
        let index = kinds.iter().position(|kind| *kind == INTERPRETER).unwrap();
        let [table, size] = [(32, 8), (54, 2)].map(|(at, length): (usize, usize)| {
            let bytes = own[at..at + length].iter().rev();
            bytes.fold(0, |n, byte| n << 8 | usize::from(*byte))
        });
        without[table + index * size] = 0;
        assert!(is_static(&without));
        for other in [&b""[..], b"#!/bin/sh", &own[..60], b"MZ"] {
            assert!(!is_static(other));
        }
    }
}

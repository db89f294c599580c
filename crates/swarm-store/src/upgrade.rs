//! Records of older format versions, brought to the newest as they are read.
//!
//! Owns what is different in them (`docs/on-disk.md`, "Records"). Nothing of this is ever written.

use swarm_types::VolumeId;

use crate::codec::{Cursor, Malformed, Put};
use crate::group::Encoding;
use crate::hints::Hints;
use crate::record::{ADD, NOTE_AT, QUARANTINED};

/// Length of the value of a tombstone before version 3: type, stamp, kind, date.
const OLD_TOMBSTONE: usize = 1 + 24 + 1 + 8;

/// The value of an ADD or TOMBSTONE of this encoding in the newest one.
pub(crate) fn upgrade(mut value: Vec<u8>, from: Encoding) -> Result<Vec<u8>, Malformed> {
    let is_add = value.first() == Some(&ADD);
    if from == Encoding::One && is_add {
        value = hints_of_one(&value)?;
    }
    if from >= Encoding::Three {
        return Ok(value);
    }
    let slots_at = if is_add { behind_hints(&value)? } else { value.len() };
    if is_add {
        value.insert(slots_at, 0);
    } else if value.len() == OLD_TOMBSTONE {
        // No flags and no slots.
        value.put(&[0, 0]);
    } else {
        return Err(Malformed);
    }
    Ok(value)
}

/// The value of a replica as format version 1 encoded it, with one hint or zeros, in version 2.
fn hints_of_one(value: &[u8]) -> Result<Vec<u8>, Malformed> {
    let (fixed, rest) = value.split_at_checked(NOTE_AT).ok_or(Malformed)?;
    let mut cursor = Cursor::new(rest);
    let hint = Some(cursor.array()?).filter(|bytes| *bytes != [0; 16]).map(VolumeId::from_bytes);
    let mut out = fixed.to_vec();
    out.push(0);
    Hints::new(hint).encode(&mut out);
    out.put(cursor.rest());
    Ok(out)
}

/// Where in the value of a replica of version 2 its hints end.
fn behind_hints(value: &[u8]) -> Result<usize, Malformed> {
    let mut cursor = Cursor::new(value.get(NOTE_AT..).ok_or(Malformed)?);
    if cursor.u8()? > QUARANTINED {
        return Err(Malformed);
    }
    Hints::skip(&mut cursor)?;
    Ok(value.len() - cursor.rest().len())
}

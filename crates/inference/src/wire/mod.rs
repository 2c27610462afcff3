//! What every wire format needs: JSON from strangers read strictly, edits that leave the rest of a
//! text as it is, and the frames of streams.

pub(crate) mod affinity;
pub(crate) mod body;
pub(crate) mod eventstream;
pub(crate) mod field;
pub(crate) mod json;
pub(crate) mod members;
pub(crate) mod sse;
pub(crate) mod weight;

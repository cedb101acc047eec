//! A live LL-HLS origin and virtual viewers.

pub mod entity;
pub mod mark;

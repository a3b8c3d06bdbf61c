pub mod choice;
pub mod entity;
pub mod term;

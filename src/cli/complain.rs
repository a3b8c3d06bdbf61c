use std::fmt::Display;

use clap::builder::Styles;

/// Prints an error for the operator. On a terminal that shows colours, its head has the colour that
/// clap gives to mistakes on the command line.
pub fn complain(error: &impl Display) {
    let red = Styles::default().get_error().to_owned();
    anstream::eprintln!("{red}polls:{red:#} {error}");
}

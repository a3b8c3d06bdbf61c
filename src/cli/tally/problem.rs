use std::error::Error;
use std::fmt;
use std::io;
use std::string::FromUtf8Error;

/// What is wrong with a file, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1.
    pub line: Option<usize>,
    pub what: String,
    pub advice: String,
}

impl Fault {
    pub(super) fn new(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            line: None,
            what: what.into(),
            advice: advice.into(),
        }
    }

    pub(super) fn at(line: usize, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            line: Some(line),
            ..Self::new(what, advice)
        }
    }

    pub(super) fn in_file(self, file: &str) -> Problem {
        Problem {
            file: file.to_owned(),
            fault: self,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "{}\n  {}", self.what, self.advice)
    }
}

/// A fault and the file that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub file: String,
    pub fault: Fault,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { line, what, advice } = &self.fault;
        write!(f, "{}", self.file)?;
        if let Some(line) = line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {what}\n  {advice}")
    }
}

/// Why nothing was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// A fault of the file.
    Problem(Problem),
    /// A fault of a text that is not in a file.
    Fault(Fault),
    /// The options do not fit the election.
    Options(Fault),
    /// The result depends on a lot.
    LotNeeded {
        /// The choices as `--lot` takes them.
        example: String,
    },
    /// The result could not be written.
    Output(String),
}

impl Failure {
    /// The exit code of the command: 3 if a lot is needed, 2 for mistakes on the command line, 1
    /// for everything else.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Problem(_) | Self::Fault(_) | Self::Output(_) => 1,
            Self::Options(_) => 2,
            Self::LotNeeded { .. } => 3,
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Problem(problem) => write!(f, "{problem}"),
            Self::Fault(fault) | Self::Options(fault) => write!(f, "{fault}"),
            Self::LotNeeded { example } => write!(
                f,
                "A tie can only be broken by lot, and no order of the lot is given.\n  \
                 Draw all choices and name them in the order in which they were drawn: \
                 --lot {example}"
            ),
            Self::Output(error) => write!(f, "The result cannot be written: {error}"),
        }
    }
}

impl Error for Failure {}

pub(super) fn unreadable(error: &io::Error) -> Fault {
    let advice = match error.kind() {
        io::ErrorKind::NotFound => "Check the path; it is relative to the working directory.",
        io::ErrorKind::PermissionDenied => "Make the file readable for the user of this command.",
        io::ErrorKind::IsADirectory => "Name a file in the folder.",
        _ => "Copy the file to a local disk and try again.",
    };
    Fault::new(format!("The file cannot be read: {error}."), advice)
}

pub(super) fn not_utf8(error: &FromUtf8Error) -> Fault {
    let valid = error.utf8_error().valid_up_to();
    let before = &error.as_bytes()[..valid];
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    Fault::at(
        line,
        "The text is not UTF-8.",
        "Save the file as UTF-8 in the program that wrote it.",
    )
}

//! File descriptors: each connection takes one, and shells give 1,024 of many more.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets the process have as many as its hard limit allows.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Where the system refuses, there are as many as before.
    let _ = setrlimit(Resource::Nofile, raised);
}

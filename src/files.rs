//! The limit of open files. Connections of strangers, requests to endpoints and sessions with Postgres all share it.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// With fewer files than this, many hooks or many visitors at once are too much.
const FEW: u64 = 1024;
/// The limit is raised no further. Nothing here needs more, and the processes of tasks inherit it.
const ENOUGH: u64 = 1 << 16;
/// The least that [`share`] gives, so that everything works a little with any limit.
const LEAST: usize = 8;

/// Raises the limit to what the system allows, and warns when that is little.
pub fn raise_limit() {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return;
    };
    let wanted = hard.min(ENOUGH).max(soft);
    let raised = wanted > soft && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok();
    let limit = if raised { wanted } else { soft };
    if limit < FEW {
        tracing::warn!(
            limit,
            "few files may be open at once, and each connection is one; raise the limit (ulimit -n, LimitNOFILE)"
        );
    }
}

/// `wanted`, but at most one of `parts` parts of the files that may be open.
pub fn share(wanted: usize, parts: usize) -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(FEW, |(soft, _)| soft);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    wanted.min((limit / parts.max(1)).max(LEAST))
}

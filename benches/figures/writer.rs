//! Commits rows at a given rate, however far rowhook is behind.

use std::time::Duration;

use anyhow::Result;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    figure::Samples,
    source::{self, Source},
};

const SESSIONS: u32 = 4;

/// Makes `commits` a second, of `rows` rows each, for the time `long`. Returns how long each of them took, in ms.
pub fn write(source: &Source, commits: f64, rows: i64, long: Duration) -> Result<Samples> {
    source.block_on(async {
        let mut sessions = JoinSet::new();
        let begin = Instant::now() + Duration::from_millis(100);
        for session in 0..SESSIONS {
            let url = source.url.clone();
            sessions.spawn(async move {
                let client = source::open(&url).await?;
                // The owners take turns.
                let insert = "insert into book (user_id) select ($2::bigint + n) % 100 from generate_series(1, $1::bigint) n";
                let insert = client.prepare(insert).await?;
                let mut took = Vec::new();
                for turn in 0_u32.. {
                    let number = turn * SESSIONS + session;
                    let after = f64::from(number) / commits;
                    if after >= long.as_secs_f64() {
                        break;
                    }
                    sleep_until(begin + Duration::from_secs_f64(after)).await;
                    let started = Instant::now();
                    client
                        .execute(&insert, &[&rows, &(i64::from(number) * rows)])
                        .await?;
                    took.push(started.elapsed().as_secs_f64() * 1000.0);
                }
                anyhow::Ok(took)
            });
        }
        let mut all = Samples::default();
        while let Some(took) = sessions.join_next().await {
            all.0.extend(took??);
        }
        Ok(all)
    })
}

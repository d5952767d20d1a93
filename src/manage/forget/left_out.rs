//! What is about something that was forgotten, and is not to vanish: of what is parked or dead, the key of the row
//! stays, and `left_out` tells the receiver what does not. Nothing stays of the history.

use std::time::SystemTime;

use anyhow::Context;

use super::{Forgotten, PART, Subject};
use crate::{
    lookup::permission::VisibilityCheck,
    manage::{Admin, Result},
    payload::outline::Outline,
    store::FORGOTTEN,
};

impl Admin {
    /// Notes that this was forgotten, which a running rowhook is told. Returns when.
    pub(super) async fn note_forgotten(&self, marks: &[i64]) -> Result<SystemTime> {
        let sql = "with old as (delete from forgotten_mark where at < clock_timestamp() - interval '30 days'), \
                   noted as (insert into forgotten_mark (mark, at) select mark, clock_timestamp() from unnest($1::bigint[]) as of (mark) \
                   on conflict (mark) do update set at = excluded.at returning at) \
                   select max(at), pg_notify($2, $3) from noted";
        let schema = &self.config.database.schema;
        let noted = self
            .client
            .query_one(sql, &[&marks, schema, &FORGOTTEN])
            .await;
        let at = noted.and_then(|row| row.try_get(0));
        Ok(at.context("note what is forgotten")?)
    }

    /// Tells a running rowhook once more, so that it claims anew what it has claimed before it was replaced.
    pub(super) async fn tell_forgotten(&self) -> Result<()> {
        let schema = &self.config.database.schema;
        let told = self
            .client
            .execute("select pg_notify($1, $2)", &[schema, &FORGOTTEN])
            .await;
        told.context("tell what is forgotten")?;
        Ok(())
    }

    /// Leaves what is forgotten out of deliveries, and deletes their history.
    pub(super) async fn leave_out(
        &self,
        subject: &Subject<'_>,
        done: &mut Forgotten,
    ) -> Result<()> {
        let mut after = String::new();
        while let Some(last) = self.leave_out_some(subject, &after, done).await? {
            after = last;
        }
        let sql = format!(
            "delete from attempt where ctid = any(array(select ctid from attempt \
             where about && $1::bigint[] \
                 or about is null and (lane = any($2::bigint[]) or other_lane = any($2::bigint[])) limit {PART}))"
        );
        loop {
            let deleted = self
                .client
                .execute(&sql, &[&subject.marks, &subject.lanes])
                .await;
            let deleted = deleted.context("delete from attempt")?;
            done.attempts += deleted;
            if deleted < PART.unsigned_abs() {
                return Ok(());
            }
        }
    }

    /// Leaves it out of some deliveries, those after an id. Returns the last of them; `None` when there were none left.
    async fn leave_out_some(
        &self,
        subject: &Subject<'_>,
        after: &str,
        done: &mut Forgotten,
    ) -> Result<Option<String>> {
        let sql = include_str!("../../../sql/manage/about_forgotten.sql");
        let found = self
            .client
            .query(sql, &[&subject.marks, &subject.lanes, &after])
            .await;
        let found = found.context("find what is about it")?;
        let (mut ids, mut bodies, mut questions) = (Vec::new(), Vec::new(), Vec::new());
        for row in &found {
            let read = || -> std::result::Result<_, tokio_postgres::Error> {
                Ok((
                    row.try_get::<_, String>("id")?,
                    row.try_get::<_, &[u8]>("body")?,
                    row.try_get::<_, Option<&str>>("outline")?,
                    row.try_get::<_, Option<&str>>("question")?,
                ))
            };
            let (id, body, outline, question) = read().context("read what is about it")?;
            // One that an older rowhook has parked, or that was delivered and is to be sent again, has none.
            let outline = outline.and_then(|outline| serde_json::from_str(outline).ok());
            let outline: Outline = outline.unwrap_or_else(|| Outline::of_key(subject.key));
            let question: Option<VisibilityCheck> = question
                .map(serde_json::from_str)
                .transpose()
                .context("read what a delivery asks")?;
            bodies.push(outline.body(body).to_vec());
            questions
                .push(question.map(|question| question.of_key(outline.key_columns()).to_json()));
            ids.push(id);
        }
        let Some(last) = ids.last().cloned() else {
            return Ok(None);
        };
        let sql = include_str!("../../../sql/manage/leave_out.sql");
        let left_out = self.client.execute(sql, &[&ids, &bodies, &questions]).await;
        left_out.context("leave it out of what is parked")?;
        done.left_out += ids.len() as u64;
        Ok(Some(last))
    }
}

//! Postgres' wire protocol: the simple query protocol for `psql`, and the extended one for drivers.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use futures_util::{Sink, stream};
use pgwire::{
    api::{
        ClientInfo, ClientPortalStore, METADATA_DATABASE, PgWireServerHandlers, Type,
        auth::StartupHandler,
        portal::Portal,
        query::{ExtendedQueryHandler, SimpleQueryHandler},
        results::{
            DataRowEncoder, DescribePortalResponse, DescribeStatementResponse, FieldFormat,
            FieldInfo, QueryResponse, Response, Tag,
        },
        stmt::{NoopQueryParser, StoredStatement},
        store::PortalStore,
    },
    error::{ErrorInfo, PgWireError, PgWireResult},
    messages::PgWireBackendMessage,
};

use super::{command::Command, databases::Databases, login};
use crate::{
    config::Role,
    manage::identity::{self, Identity},
    secret::Secret,
};

/// SQLSTATE `internal_error`.
const INTERNAL_ERROR: &str = "XX000";
/// SQLSTATE `syntax_error`.
const SYNTAX_ERROR: &str = "42601";
/// SQLSTATE `insufficient_privilege`.
const FORBIDDEN: &str = "42501";

/// What pgwire asks for to serve one session.
pub(super) struct Handlers {
    queries: Arc<Queries>,
    password: Secret,
}

/// Runs the queries of a session.
pub(super) struct Queries {
    answers: Arc<Databases>,
    /// Whoever knows the password.
    caller: Identity,
    parser: Arc<NoopQueryParser>,
}

impl Handlers {
    /// Those of a session of whoever knows this password, and has this role.
    pub(super) fn new(answers: Arc<Databases>, password: Secret, role: Role) -> Self {
        Self {
            queries: Arc::new(Queries {
                answers,
                caller: Identity::operator(role, identity::Login::Console),
                parser: Arc::new(NoopQueryParser::new()),
            }),
            password,
        }
    }

    /// What runs the queries, of both protocols.
    pub(super) fn queries(&self) -> Arc<Queries> {
        Arc::clone(&self.queries)
    }
}

impl PgWireServerHandlers for Handlers {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        Arc::clone(&self.queries)
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        Arc::clone(&self.queries)
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        Arc::new(login::Login::new(self.password.clone()))
    }
}

impl Queries {
    /// Runs one command. `format` says how the client wants each column.
    async fn respond(
        &self,
        client: &impl ClientInfo,
        text: &str,
        format: impl Fn(usize) -> FieldFormat,
    ) -> PgWireResult<Response> {
        let command = parse(text)?;
        let allowed = self.caller.require(command.act());
        allowed.map_err(|error| user_error(FORBIDDEN, error.to_string()))?;
        let named = client.metadata().get(METADATA_DATABASE);
        let answer = self.answers.answer(named.map(String::as_str), &command);
        let rows = answer.await;
        let rows = rows.map_err(|error| user_error(INTERNAL_ERROR, format!("{error:#}")))?;
        if command.columns().is_empty() {
            return Ok(Response::Execution(Tag::new(command.tag())));
        }
        let fields = Arc::new(fields(&command, format));
        let mut encoded = Vec::with_capacity(rows.len());
        for row in rows {
            let mut encoder = DataRowEncoder::new(Arc::clone(&fields));
            for value in &row {
                encoder.encode_field(value)?;
            }
            encoded.push(encoder.finish());
        }
        let mut response = QueryResponse::new(fields, stream::iter(encoded));
        response.set_command_tag(command.tag());
        Ok(Response::Query(response))
    }
}

fn parse(text: &str) -> PgWireResult<Command> {
    Command::parse(text).map_err(|message| user_error(SYNTAX_ERROR, message))
}

fn user_error(code: &str, message: String) -> PgWireError {
    let info = ErrorInfo::new("ERROR".to_owned(), code.to_owned(), message);
    PgWireError::UserError(Box::new(info))
}

fn fields(command: &Command, format: impl Fn(usize) -> FieldFormat) -> Vec<FieldInfo> {
    let columns = command.columns().iter().enumerate();
    columns
        .map(|(at, name)| FieldInfo::new((*name).to_owned(), None, None, Type::TEXT, format(at)))
        .collect()
}

#[async_trait]
impl SimpleQueryHandler for Queries {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let mut responses = Vec::new();
        let commands = query.split(';').filter(|text| !text.trim().is_empty());
        for command in commands {
            responses.push(self.respond(client, command, |_| FieldFormat::Text).await?);
        }
        Ok(responses)
    }
}

#[async_trait]
impl ExtendedQueryHandler for Queries {
    type Statement = String;
    type QueryParser = NoopQueryParser;

    fn query_parser(&self) -> Arc<Self::QueryParser> {
        Arc::clone(&self.parser)
    }

    async fn do_describe_statement<C>(
        &self,
        _client: &mut C,
        target: &StoredStatement<Self::Statement>,
    ) -> PgWireResult<DescribeStatementResponse>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let command = parse(&target.statement)?;
        let fields = fields(&command, |_| FieldFormat::Text);
        Ok(DescribeStatementResponse::new(Vec::new(), fields))
    }

    async fn do_describe_portal<C>(
        &self,
        _client: &mut C,
        target: &Portal<Self::Statement>,
    ) -> PgWireResult<DescribePortalResponse>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let command = parse(&target.statement.statement)?;
        let format = |at| target.result_column_format.format_for(at);
        Ok(DescribePortalResponse::new(fields(&command, format)))
    }

    async fn do_query<C>(
        &self,
        client: &mut C,
        portal: &Portal<Self::Statement>,
        _max_rows: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let format = |at| portal.result_column_format.format_for(at);
        let text = &portal.statement.statement;
        self.respond(client, text, format).await
    }
}

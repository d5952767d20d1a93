//! Postgres' protocol around the commands, for `psql` (which asks simply) and for drivers (which prepare first).

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use futures_util::{Sink, stream};
use pgwire::{
    api::{
        ClientInfo, ClientPortalStore, PgWireServerHandlers, Type,
        auth::{
            AuthSource, DefaultServerParameterProvider, LoginInfo, Password, StartupHandler,
            sasl::{
                SASLAuthStartupHandler,
                scram::{ScramAuth, gen_salted_password},
            },
        },
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

use super::{answer::Desk, command::Command};
use crate::secret::Secret;

const ITERATIONS: usize = 4096;

/// What a session of the console is made of.
pub(super) struct Doors {
    clerk: Arc<Clerk>,
    porter: Arc<Porter>,
}

struct Clerk {
    desk: Arc<Desk>,
    parser: Arc<NoopQueryParser>,
}

/// Knows the password.
#[derive(Debug)]
struct Porter(Secret);

impl Doors {
    pub(super) fn new(desk: Arc<Desk>, password: Secret) -> Self {
        Self {
            clerk: Arc::new(Clerk {
                desk,
                parser: Arc::new(NoopQueryParser::new()),
            }),
            porter: Arc::new(Porter(password)),
        }
    }
}

impl PgWireServerHandlers for Doors {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        Arc::clone(&self.clerk)
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        Arc::clone(&self.clerk)
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        let porter: Arc<dyn AuthSource> = Arc::clone(&self.porter) as _;
        let mut scram = ScramAuth::new(porter);
        scram.set_iterations(ITERATIONS);
        let parameters = DefaultServerParameterProvider::default();
        Arc::new(SASLAuthStartupHandler::new(Arc::new(parameters)).with_scram(scram))
    }
}

#[async_trait]
impl AuthSource for Porter {
    async fn get_password(&self, _login: &LoginInfo) -> PgWireResult<Password> {
        let salt: [u8; 16] = rand::random();
        let hash = gen_salted_password(self.0.expose(), &salt, ITERATIONS);
        Ok(Password::new(Some(salt.to_vec()), hash))
    }
}

impl Clerk {
    async fn respond(
        &self,
        text: &str,
        format: impl Fn(usize) -> FieldFormat,
    ) -> PgWireResult<Response> {
        let command = read(text)?;
        let rows = self.desk.answer(&command).await;
        let rows = rows.map_err(|error| refusal("XX000", format!("{error:#}")))?;
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

fn read(text: &str) -> PgWireResult<Command> {
    Command::parse(text).map_err(|error| refusal("42601", error))
}

fn refusal(code: &str, message: String) -> PgWireError {
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
impl SimpleQueryHandler for Clerk {
    async fn do_query<C>(&self, _client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let mut responses = Vec::new();
        let commands = query.split(';').filter(|text| !text.trim().is_empty());
        for command in commands {
            responses.push(self.respond(command, |_| FieldFormat::Text).await?);
        }
        Ok(responses)
    }
}

#[async_trait]
impl ExtendedQueryHandler for Clerk {
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
        let command = read(&target.statement)?;
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
        let command = read(&target.statement.statement)?;
        let format = |at| target.result_column_format.format_for(at);
        Ok(DescribePortalResponse::new(fields(&command, format)))
    }

    async fn do_query<C>(
        &self,
        _client: &mut C,
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
        self.respond(&portal.statement.statement, format).await
    }
}

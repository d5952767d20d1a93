//! The parameters of an address: all of libpq's, with what becomes of each here.

use crate::nearest::nearest;

/// One parameter.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// The environment variable that is read where the text does not have the parameter.
    pub(super) variable: Option<&'static str>,
    pub(super) meaning: Meaning,
}

/// What becomes of a parameter.
pub(super) enum Meaning {
    /// It is obeyed.
    Obeyed,
    /// It makes no difference here, whatever its value is.
    Nothing,
    /// It asks for something that rowhook does not do, and is refused by name.
    Refused {
        /// The values that ask for nothing.
        except: &'static [&'static str],
        /// What there is in its place, as the end of a sentence; may be empty.
        instead: &'static str,
    },
}

const fn obeyed(name: &'static str, variable: &'static str) -> Parameter {
    Parameter {
        name,
        variable: Some(variable),
        meaning: Meaning::Obeyed,
    }
}

const fn unnamed(name: &'static str) -> Parameter {
    Parameter {
        name,
        variable: None,
        meaning: Meaning::Obeyed,
    }
}

const fn nothing(name: &'static str) -> Parameter {
    Parameter {
        name,
        variable: None,
        meaning: Meaning::Nothing,
    }
}

const fn refused(
    name: &'static str,
    variable: Option<&'static str>,
    except: &'static [&'static str],
    instead: &'static str,
) -> Parameter {
    Parameter {
        name,
        variable,
        meaning: Meaning::Refused { except, instead },
    }
}

/// Every parameter that libpq 19 has, and those of other clients that a shared DATABASE_URL may contain.
pub(super) const ALL: &[Parameter] = &[
    obeyed("host", "PGHOST"),
    obeyed("hostaddr", "PGHOSTADDR"),
    obeyed("port", "PGPORT"),
    obeyed("user", "PGUSER"),
    obeyed("password", "PGPASSWORD"),
    obeyed("passfile", "PGPASSFILE"),
    obeyed("dbname", "PGDATABASE"),
    obeyed("service", "PGSERVICE"),
    obeyed("servicefile", "PGSERVICEFILE"),
    obeyed("require_auth", "PGREQUIREAUTH"),
    obeyed("channel_binding", "PGCHANNELBINDING"),
    obeyed("sslmode", "PGSSLMODE"),
    obeyed("sslnegotiation", "PGSSLNEGOTIATION"),
    obeyed("sslrootcert", "PGSSLROOTCERT"),
    obeyed("sslcert", "PGSSLCERT"),
    obeyed("sslkey", "PGSSLKEY"),
    unnamed("sslpassword"),
    obeyed("sslcertmode", "PGSSLCERTMODE"),
    obeyed("sslcrl", "PGSSLCRL"),
    obeyed("sslsni", "PGSSLSNI"),
    obeyed("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    obeyed("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    obeyed("requirepeer", "PGREQUIREPEER"),
    obeyed("target_session_attrs", "PGTARGETSESSIONATTRS"),
    obeyed("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    obeyed("connect_timeout", "PGCONNECT_TIMEOUT"),
    obeyed("application_name", "PGAPPNAME"),
    unnamed("fallback_application_name"),
    obeyed("options", "PGOPTIONS"),
    unnamed("keepalives"),
    unnamed("keepalives_idle"),
    unnamed("keepalives_interval"),
    unnamed("keepalives_count"),
    unnamed("tcp_user_timeout"),
    refused(
        "gssencmode",
        Some("PGGSSENCMODE"),
        &["disable", "prefer"],
        "encrypt with sslmode",
    ),
    refused(
        "sslcrldir",
        Some("PGSSLCRLDIR"),
        &[],
        "name one file in sslcrl",
    ),
    refused("sslkeylogfile", None, &[], ""),
    refused("requiressl", None, &["0"], "write sslmode=require"),
    refused(
        "replication",
        None,
        &["false", "off", "no", "0"],
        "rowhook opens its replication session itself",
    ),
    refused("scram_client_key", None, &[], "give the password"),
    refused("scram_server_key", None, &[], "give the password"),
    refused("oauth_issuer", None, &[], "see password_command"),
    refused("oauth_client_id", None, &[], "see password_command"),
    refused("oauth_client_secret", None, &[], "see password_command"),
    refused("oauth_scope", None, &[], "see password_command"),
    refused(
        "min_protocol_version",
        Some("PGMINPROTOCOLVERSION"),
        &["3.0"],
        "it speaks 3.0",
    ),
    refused(
        "max_protocol_version",
        Some("PGMAXPROTOCOLVERSION"),
        &["3.0", "3.2", "latest"],
        "it speaks 3.0",
    ),
    // Only GSSAPI reads these, and a server that wants it is refused.
    nothing("krbsrvname"),
    nothing("gsslib"),
    nothing("gssdelegation"),
    // Sessions are in UTF-8, and TLS has no compression any more.
    nothing("client_encoding"),
    nothing("sslcompression"),
    nothing("connection_limit"),
    nothing("pgbouncer"),
    nothing("pool_timeout"),
    nothing("schema"),
    nothing("uselibpqcompat"),
];

/// The parameter of this name.
pub(super) fn find(name: &str) -> Option<&'static Parameter> {
    ALL.iter().find(|parameter| parameter.name == name)
}

/// The parameter whose name is most like this one.
pub(super) fn like(name: &str) -> Option<&'static str> {
    let obeyed = ALL
        .iter()
        .filter(|parameter| matches!(parameter.meaning, Meaning::Obeyed));
    nearest(name, obeyed.map(|parameter| parameter.name))
}

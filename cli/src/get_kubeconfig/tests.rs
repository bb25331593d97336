use std::io;
use std::path::PathBuf;

use super::*;

#[test]
fn c113_one_static_token_at_most() {
    let flags = |token: &str, variable: &str| StaticFlags {
        static_token: Some(token.into()),
        static_token_env: Some(variable.to_owned()),
    };
    let kind = |token, variable| match static_login(&flags(token, variable)) {
        Ok(None) => "none".to_owned(),
        Ok(Some(Login::Token(token))) => format!("token {}", token.expose_secret()),
        Ok(Some(Login::TokenEnv(variable))) => format!("variable {variable}"),
        Ok(Some(Login::Oidc(_))) => "oidc".to_owned(),
        Err(error) => error.to_string(),
    };
    assert_eq!(kind("", ""), "none");
    assert_eq!(kind("t", ""), "token t");
    assert_eq!(kind("", "V"), "variable V");
    let both = "only one of --static-token and --static-token-env can be specified";
    assert_eq!(kind("t", "V"), both);
}

#[test]
fn c114_the_command_is_what_is_given_else_this_program() {
    let own = || Ok(PathBuf::from("/usr/local/bin/haulout"));
    for (given, expected) in [
        (Some("haulout"), "haulout"),
        (Some("/opt/haulout"), "/opt/haulout"),
        (Some(""), "/usr/local/bin/haulout"),
        (None, "/usr/local/bin/haulout"),
    ] {
        assert_eq!(plugin_command(given, own).unwrap(), expected);
    }
    let unknown = || Err(io::ErrorKind::NotFound.into());
    assert_eq!(plugin_command(Some("haulout"), unknown).unwrap(), "haulout");
    let error = plugin_command(None, unknown).unwrap_err();
    let error = GetKubeconfigError::OwnPath(error).to_string();
    assert!(error.contains("--pinniped-cli-path"), "{error}");
}

#[test]
fn the_own_path_is_absolute() {
    let own = plugin_command(None, std::env::current_exe).unwrap();
    assert!(std::path::Path::new(&own).is_absolute(), "{own}");
}

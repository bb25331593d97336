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

impl poem::error::ResponseError for crate::failure::Failure {
    fn status(&self) -> poem::http::StatusCode {
        poem::http::StatusCode::from_u16(self.code.status()).unwrap_or_default()
    }
}

"""What an S3 server's error codes mean to a user; pure, so that the whole table can be tested.

Codes are S3's own (the HTTP status where the answer had no body) and, for failures before there was
an answer, the name of botocore's exception.
"""

from nanodex.api.reasons import ExitCode, Reason
from nanodex.errors import NanodexError, TryAgain, UserError

# Answers below 500 that pass by themselves.
RETRIED_CODES = frozenset(
    {
        "ConditionalRequestConflict",
        "OperationAborted",
        "RequestTimeout",
        "RequestTimeTooSkewed",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "429",
    }
)
_CREDENTIALS = frozenset(
    {
        "AccessDenied",
        "AccountProblem",
        "AuthorizationHeaderMalformed",
        "CredentialRetrievalError",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "MetadataRetrievalError",
        "NoCredentialsError",
        "PartialCredentialsError",
        "ProfileNotFound",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnauthorizedSSOTokenError",
        "401",
        "403",
    }
)


def explain(code: str, *, detail: str, where: str, transient: bool) -> NanodexError:
    """Return the error that tells a user what `code` means.

    Args:
        code: S3's error code or the name of botocore's exception.
        detail: the server's own words.
        where: URI of the store.
        transient: whether it would have been worth another try.
    """
    if transient:
        return TryAgain(
            f"the store {where} does not answer: {detail}",
            reason=Reason.STORE_UNAVAILABLE,
            hint="Check that the server runs and that AWS_ENDPOINT_URL names it; "
            "then run the same command again, it goes on where it stopped.",
            exit_code=ExitCode.STORE_UNAVAILABLE,
        )
    if code in _CREDENTIALS:
        return UserError(
            f"the store {where} refuses the credentials ({code}): {detail}",
            reason=Reason.AUTHENTICATION_FAILED,
            hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE) to a key that "
            "may list, read, write and delete in this bucket.",
            exit_code=ExitCode.AUTHENTICATION_FAILED,
        )
    if code == "NoSuchBucket":
        return UserError(
            f"there is no bucket for {where}",
            reason=Reason.INVALID_INPUT,
            hint="Create the bucket, or correct its name; nanodex creates none.",
        )
    if code in ("NotImplemented", "501"):
        return without_conditional_writes(where)
    if code == "SSLError":
        return UserError(
            f"the certificate of {where} is not trusted: {detail}",
            reason=Reason.INVALID_INPUT,
            hint="Name the file with its CA in AWS_CA_BUNDLE.",
        )
    return UserError(
        f"the store {where} refuses a request ({code}): {detail}",
        reason=Reason.INVALID_INPUT,
        hint="Check bucket, prefix, region and AWS_ENDPOINT_URL.",
    )


def without_conditional_writes(where: str) -> UserError:
    """Return the error for a store on which two writers could overwrite each other's commit."""
    return UserError(
        f"the store {where} does not keep 'If-None-Match: *', so two writers could overwrite "
        "each other",
        reason=Reason.STORE_WITHOUT_CONDITIONAL_WRITES,
        hint="Use a server with conditional writes (AWS S3, MinIO, Ceph from Squid on, SeaweedFS "
        "from 4 on) or upgrade it.",
    )

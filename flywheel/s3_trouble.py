"""What went wrong between us and an S3 server: whether it may pass, and what a person should do about it."""

MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
PASSING = frozenset({"RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "InternalError", "ServiceUnavailable"})
RIGHTS = "this identity may not do that: give it the right to read, write and list here, or use another AWS_ACCESS_KEY_ID"
ADVICE = {
    "SignatureDoesNotMatch": "the secret is wrong: check AWS_SECRET_ACCESS_KEY",
    "InvalidAccessKeyId": "the server does not know this key: check AWS_ACCESS_KEY_ID, and AWS_ENDPOINT_URL for the server meant",
    "AccessDenied": RIGHTS,
    "403": f"{RIGHTS}, or check AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "the session has expired: get a new AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it",
    "QuotaExceeded": "the bucket is full: make room or raise its quota",
    "NoSuchBucket": "there is no bucket {bucket!r}: create it, or correct the root",
    "InvalidBucketName": "{bucket!r} cannot be a bucket's name: correct the root (s3://bucket/prefix)",
    "NoCredentialsError": "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "PartialCredentialsError": "half of the credentials is missing: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "EndpointConnectionError": "nobody answers there: is the server up, and is AWS_ENDPOINT_URL its address (the endpoint)?",
    "ParamValidationError": "check the root (s3://bucket/prefix)",
}
OTHERWISE = "run again to resume; if it stays so, check the server, AWS_ENDPOINT_URL (the endpoint) and the identity's rights"


def code_of(error: Exception) -> str:
    """The server's error code, or the name of the client's error."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else type(error).__name__


def is_missing(error: Exception) -> bool:
    """Whether the server says that there is no such object."""
    return code_of(error) in MISSING


def may_pass(error: Exception) -> bool:
    """Whether trying again may help: the server is away, overloaded or broke off in the middle."""
    from botocore.exceptions import ClientError, ConnectionError, FlexibleChecksumError, HTTPClientError, IncompleteReadError

    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or status == 429 or code_of(error) in PASSING
    return isinstance(error, ConnectionError | HTTPClientError | IncompleteReadError | FlexibleChecksumError)


def said(error: Exception, *, bucket: str) -> str:
    """The error in the server's words, and what to do."""
    return f"{str(error).rstrip('.')}: {ADVICE.get(code_of(error), OTHERWISE).format(bucket=bucket)}"

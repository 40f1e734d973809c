"""What can go wrong with mail, as one tree of kinds.

Each kind has a stable `code`, says whether trying again may help (`permanent`), whom it concerns
(`scope`) and what an administrator can do about it (`remedy`). `str(error)` is a sentence, and
`server_reply` holds the server's own words, with every secret taken out.

    MailError
    ├── NotAllowed          PortNotAllowed  AddressForbidden  PlainNotAllowed
    ├── NotConnected        HostNotFound  LookupFailed  Unreachable  ConnectionRefused
    │                       TimedOut  DeadlineExceeded  ConnectionLost
    ├── NotSecured          TlsFailed (PlainTextAnswered, TlsExpected, TlsTooOld, TlsSuiteMissing)
    │                       CertificateInvalid (CertificateExpired, CertificateSelfSigned,
    │                       CertificateWrongHost, CertificateUnknownAuthority, CertificateNotPinned)
    │                       StartTlsMissing  EncryptionRequired
    ├── ProtocolViolation   GreetingStrange
    ├── ServerBusy          TooManyConnections  RateLimited  MailboxLocked
    ├── HostRefused
    ├── CommandRefused
    ├── SpoolFailed
    ├── NotSignedIn         LoginRefused (PasswordExpired, AuthorizationRefused, TokenRefused)  LoginRequired
    │                       LoginRefused (AppPasswordNeeded, OAuthNeeded, WebLoginRequired, AccountLocked,
    │                       AccessDisabled)  LoginMechanismMissing (LoginDisabled)  LoginThrottled
    ├── NotAuthorized       GrantMissing  GrantExpired  ClientRefused  AuthorizationBusy
    ├── FolderMissing       FolderForbidden  FolderRenumbered
    ├── QuotaExceeded
    └── MessageFailure      MessageUnreadable  MessageTooLarge  MessageRefused
                            SenderRefused  RecipientsRefused (RelayDenied, Greylisted)  OutcomeUnknown
                            NotSeenArriving
"""

from emailsync.mail.errors.base import (
    MailError as MailError,
    OutcomeClass as OutcomeClass,
    Scope as Scope,
    classified as classified,
)
from emailsync.mail.errors.keeping import (
    FolderForbidden as FolderForbidden,
    FolderMissing as FolderMissing,
    FolderRenumbered as FolderRenumbered,
    Greylisted as Greylisted,
    MessageFailure as MessageFailure,
    MessageRefused as MessageRefused,
    MessageTooLarge as MessageTooLarge,
    MessageUnreadable as MessageUnreadable,
    NotSeenArriving as NotSeenArriving,
    OutcomeUnknown as OutcomeUnknown,
    QuotaExceeded as QuotaExceeded,
    RecipientsRefused as RecipientsRefused,
    RelayDenied as RelayDenied,
    SenderRefused as SenderRefused,
)
from emailsync.mail.errors.reaching import (
    BREAKING as BREAKING,
    AddressForbidden as AddressForbidden,
    CertificateExpired as CertificateExpired,
    CertificateInvalid as CertificateInvalid,
    CertificateNotPinned as CertificateNotPinned,
    CertificateSelfSigned as CertificateSelfSigned,
    CertificateUnknownAuthority as CertificateUnknownAuthority,
    CertificateWrongHost as CertificateWrongHost,
    CommandRefused as CommandRefused,
    ConnectionLost as ConnectionLost,
    ConnectionRefused as ConnectionRefused,
    DeadlineExceeded as DeadlineExceeded,
    EncryptionRequired as EncryptionRequired,
    GreetingStrange as GreetingStrange,
    HostNotFound as HostNotFound,
    HostRefused as HostRefused,
    LookupFailed as LookupFailed,
    MailboxLocked as MailboxLocked,
    NotAllowed as NotAllowed,
    NotConnected as NotConnected,
    NotSecured as NotSecured,
    PlainNotAllowed as PlainNotAllowed,
    PlainTextAnswered as PlainTextAnswered,
    PortNotAllowed as PortNotAllowed,
    ProtocolViolation as ProtocolViolation,
    RateLimited as RateLimited,
    ServerBusy as ServerBusy,
    SpoolFailed as SpoolFailed,
    StartTlsMissing as StartTlsMissing,
    TimedOut as TimedOut,
    TlsExpected as TlsExpected,
    TlsFailed as TlsFailed,
    TlsSuiteMissing as TlsSuiteMissing,
    TlsTooOld as TlsTooOld,
    TooManyConnections as TooManyConnections,
    Unreachable as Unreachable,
)
from emailsync.mail.errors.signing_in import (
    AccessDisabled as AccessDisabled,
    AccountLocked as AccountLocked,
    AppPasswordNeeded as AppPasswordNeeded,
    AuthorizationBusy as AuthorizationBusy,
    AuthorizationRefused as AuthorizationRefused,
    ClientRefused as ClientRefused,
    GrantExpired as GrantExpired,
    GrantMissing as GrantMissing,
    LoginDisabled as LoginDisabled,
    LoginMechanismMissing as LoginMechanismMissing,
    LoginRefused as LoginRefused,
    LoginRequired as LoginRequired,
    LoginThrottled as LoginThrottled,
    NotAuthorized as NotAuthorized,
    NotSignedIn as NotSignedIn,
    OAuthNeeded as OAuthNeeded,
    PasswordExpired as PasswordExpired,
    TokenRefused as TokenRefused,
    WebLoginRequired as WebLoginRequired,
)

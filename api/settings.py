"""Settings of one running region, read once from the environment (`ELICENCE_*`) and `.env`.

Every field is documented in `docs/settings.md`; a test compares the two. Secrets never appear in `repr`.
"""

from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """The operator's choices; frozen, so that nothing changes them after start."""

    model_config = SettingsConfigDict(env_prefix="ELICENCE_", env_file=".env", frozen=True, extra="ignore")

    database_url: str = Field(
        default="sqlite:///var/elicence.sqlite", description="Database of the service's own role."
    )
    migration_database_url: str | None = Field(
        default=None, description="Same database as its owner: used by `elicence migrate` only."
    )
    region: str = Field(default="610000", pattern=r"^\d{6}$", description="Region code of GB/T 2260.")
    region_name_zh: str = Field(default="示例省", description="Name of the region in Chinese.")
    region_name_en: str = Field(default="Example Province", description="Name of the region in English.")
    authority: str = Field(
        default="11610000000000003R",
        pattern=r"^[0-9A-Z]{18}$",
        description="Unified social credit code of the region's authority.",
    )
    base_url: str = Field(default="http://127.0.0.1:8000", description="Public base address, without a final slash.")
    former_base_urls: tuple[str, ...] = Field(
        default=(), description="Addresses this region used before; old licences name them."
    )
    epoch: str = Field(
        default="1", pattern=r"^[0-9a-z]{1,16}$", description="Last part of the log's origin: one log an epoch."
    )
    keystore: Path = Field(default=Path("var/keys"), description="Folder of the encrypted key store.")
    keystore_password: SecretStr | None = Field(
        default=None, description="Password of the key store; asked for when absent."
    )
    tiles: Path = Field(
        default=Path("var/public"), description="Folder of the published files (tiles, checkpoint, lists)."
    )
    publish_interval_ms: int = Field(
        default=200, ge=20, le=60_000, description="Longest wait before new entries are published."
    )
    witness_interval_ms: int = Field(
        default=2000, ge=500, le=600_000, description="Shortest time between checkpoints sent to witnesses."
    )
    witness_mode: str = Field(
        default="open",
        pattern=r"^(open|closed)$",
        description="Whether checkpoints are shown before a quorum of witnesses has cosigned (open) or not (closed).",
    )
    follow_interval_ms: int = Field(
        default=1000, ge=50, le=600_000, description="How often the logs and status lists of peers are looked at."
    )
    mirror_entries: bool = Field(default=True, description="Keep a copy of the public entries of peers' logs.")
    peer_timeout_s: float = Field(
        default=10.0, gt=0, le=120, description="Longest time for one call to another region, all of it."
    )
    peer_ca: Path | None = Field(
        default=None, description="Certificates (PEM) to trust for TLS to other regions; none: those of the system."
    )
    peer_proxy: str | None = Field(
        default=None, description="HTTP proxy for calls to other regions, where there is one; none: directly."
    )
    recognition_notice_s: int = Field(
        default=172_800,
        ge=0,
        le=1_209_600,
        description="Shortest notice before a licence type of a peer begins to count.",
    )
    foreign_effects_per_hour: int = Field(
        default=100, ge=0, description="Licences one peer may have suspended here in an hour before it is held."
    )
    republish_interval_s: int = Field(
        default=600, ge=10, le=86_400, description="A checkpoint is signed again after this, even without growth."
    )
    status_ttl_s: int = Field(default=30, ge=1, le=86_400, description="Life of a status list token in a cache.")
    trust_list_ttl_s: int = Field(
        default=3600, ge=60, le=604_800, description="Freshness wanted of a trust list (`next_update`)."
    )
    trust_list_expiry_s: int = Field(
        default=86_400, ge=300, le=2_592_000, description="Hard expiry of a trust list (`exp`)."
    )
    max_body_bytes: int = Field(
        default=1_048_576, ge=4096, description="Largest body of a single call: a licence has a few KiB."
    )
    max_row_bytes: int = Field(
        default=65_536,
        ge=1024,
        description="Longest row of a batch: a licence with its photograph's digest has a few KiB.",
    )
    max_batch_rows: int = Field(default=100_000, ge=1, description="Most rows of one batch; longer backlogs are split.")
    max_batch_bytes: int = Field(
        default=536_870_912, ge=65_536, description="Largest batch in bytes, all rows together."
    )
    max_calls: int = Field(
        default=2048,
        ge=32,
        le=65_536,
        description="Calls of one kind under way in a process; one more is told to wait.",
    )
    max_wait_ms: int = Field(
        default=1000,
        ge=50,
        le=60_000,
        description="Longest wait a call may expect when it is let in; beyond it is answered 503 with Retry-After.",
    )
    max_batches: int = Field(default=16, ge=1, le=1024, description="Batches a process takes in at the same time.")
    body_timeout_s: float = Field(
        default=15.0, gt=0, le=600, description="Seconds a body may take before it has to bring 16 KiB a second."
    )
    head_timeout_s: float = Field(
        default=10.0, gt=0, le=600, description="Seconds a connection may take to send the head of a request."
    )
    idle_timeout_s: int = Field(
        default=65, ge=1, le=3600, description="Seconds a connection is kept open between two requests."
    )
    max_connections: int = Field(
        default=16_384,
        ge=64,
        le=1_000_000,
        description="Connections of a process; beyond, those that are idle are closed. Bounded by open files, too.",
    )
    token_ttl_s: int = Field(default=600, ge=30, le=3600, description="Life of an access token.")
    identity_issuer: str | None = Field(
        default=None, description="Issuer of holders' identity tokens (RFC 8693); none: no holders."
    )
    identity_jwks: Path | None = Field(default=None, description="Public keys (JWKS file) of that issuer.")
    log_level: str = Field(
        default="INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$", description="Least severe line that is logged."
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65_535, description="Port to listen on.")
    backup_days: int = Field(
        default=30,
        ge=1,
        le=3650,
        description="Days after which `elicence backup` removes a backup: it may hold what was erased since.",
    )
    workers: int = Field(default=1, ge=1, le=64, description="Serving processes; more than one needs PostgreSQL.")

    preparers: int | None = Field(
        default=None,
        ge=0,
        le=64,
        description="Processes beside each serving one that prepare licences; absent: one a core but one, at "
        "most four in all.",
    )

    @field_validator("epoch", mode="after")
    @classmethod
    def _not_the_witness(cls, value: str) -> str:
        if value == "witness":
            raise ValueError("that is the name of the region's witness, and no log is named like one")
        return value

    @field_validator("base_url", "former_base_urls", mode="after")
    @classmethod
    def _no_final_slash(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if isinstance(value, str):
            return value.rstrip("/")
        return tuple(url.rstrip("/") for url in value)


def environment(settings: Settings) -> dict[str, str]:
    """Return the settings as the environment that another process of this service reads."""
    found: dict[str, str] = {}
    for name, value in settings:
        if value is None or value == ():
            continue
        plain = value.get_secret_value() if isinstance(value, SecretStr) else value
        found[f"ELICENCE_{name.upper()}"] = str(plain)
    return found

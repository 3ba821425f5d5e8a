"""What the tests do in Python: one signed request, or rows as DuckDB, pyarrow or deltalake read them.

The task is a line of JSON on standard input, the body of a request is whatever follows it. So neither keys nor SQL are
seen in a list of processes. The answer is JSON, one object a line.
"""

import base64
import datetime
import fnmatch
import hashlib
import hmac
import http.client
import json
import math
import os
import pathlib
import re
import sys
import urllib.parse


def request(server, method, target, headers, body):
    """One request, signed by hand: no SDK stands between a test and the server's own answer."""
    endpoint = urllib.parse.urlsplit(server["endpoint"])
    path, _, query = (endpoint.path + target).partition("?")
    pairs = sorted(urllib.parse.parse_qsl(query, keep_blank_values=True))
    headers = {name.lower(): value for name, value in headers.items()}
    sign = sign_s3 if server["kind"] == "s3" else sign_azure
    sign(server, endpoint.netloc, method, path, pairs, headers, body)
    connection = http.client.HTTPConnection(endpoint.netloc, timeout=60)
    connection.request(method, endpoint.path + target, body=body, headers=headers)
    reply = connection.getresponse()
    text = reply.read().decode("utf-8", "replace")
    found = re.search("<Code>(.*?)</Code>", text)
    code = reply.headers.get("x-ms-error-code") or (found.group(1) if found else None)
    return {"status": reply.status, "code": code, "etag": reply.headers.get("etag"), "body": text}


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256)


def sign_s3(server, host, method, path, pairs, headers, body):
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    headers |= {"host": host, "x-amz-date": now, "x-amz-content-sha256": digest}
    names = ";".join(sorted(headers))
    query = urllib.parse.urlencode(pairs, quote_via=urllib.parse.quote, safe="-_.~")
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    path = urllib.parse.quote(urllib.parse.unquote(path), safe="/-_.~")
    canonical = "\n".join([method, path, query, lines, names, digest])
    scope = f"{now[:8]}/{server['region']}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + server["secret"]).encode()
    for part in scope.split("/"):
        key = mac(key, part).digest()
    credential = f"Credential={server['account']}/{scope}, SignedHeaders={names}"
    headers["authorization"] = f"AWS4-HMAC-SHA256 {credential}, Signature={mac(key, text).hexdigest()}"


def sign_azure(server, host, method, path, pairs, headers, body):
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
    # The version that object_store asks for.
    headers |= {"x-ms-date": now, "x-ms-version": "2023-11-03"}
    if method == "PUT" and not pairs:
        headers["x-ms-blob-type"] = "BlockBlob"
    length = str(len(body)) if body else ""
    plain = ["content-encoding", "content-language", None, "content-md5", "content-type", "date", "if-modified-since"]
    plain += ["if-match", "if-none-match", "if-unmodified-since", "range"]
    lines = [method] + [length if name is None else headers.get(name, "") for name in plain]
    lines += [f"{name}:{headers[name]}" for name in sorted(headers) if name.startswith("x-ms-")]
    lines += [f"/{server['account']}{path}"] + [f"{name.lower()}:{value}" for name, value in pairs]
    signature = base64.b64encode(mac(base64.b64decode(server["secret"]), "\n".join(lines)).digest()).decode()
    headers["authorization"] = f"SharedKey {server['account']}:{signature}"


def shared_access(server):
    """A signature that stands for the key, for an hour: what people are given instead of one."""
    now = datetime.datetime.now(datetime.timezone.utc)
    expiry = (now + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    fields = {"sp": "rwdlac", "ss": "b", "srt": "sco", "st": "", "se": expiry, "sip": "", "spr": "https,http"}
    fields |= {"sv": "2022-11-02", "ses": ""}
    text = "\n".join([server["account"], *fields.values(), ""])
    signature = base64.b64encode(mac(base64.b64decode(server["secret"]), text).digest()).decode()
    fields = {name: value for name, value in fields.items() if value} | {"sig": signature}
    return {"token": urllib.parse.urlencode(fields), "signature": signature}


def duckdb_rows(server, sql):
    import duckdb

    # Nothing is to come from the network: the extensions are those of the wheels.
    config = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    connection = duckdb.connect(config=config)
    connection.execute("SET TimeZone = 'UTC'")
    extensions = {"s3": ["httpfs"], "azure": ["azure"], None: []}[server and server["kind"]]
    for extension in extensions + (["delta"] if "delta_scan(" in sql else []):
        package = __import__(f"duckdb_extension_{extension}")
        folder = pathlib.Path(package.__file__).parent / "extensions" / f"v{duckdb.__version__}"
        connection.execute(f"LOAD '{folder / extension}.duckdb_extension'")
    if server:
        account, secret, endpoint = server["account"], server["secret"], server["endpoint"]
        if server["kind"] == "s3":
            host = urllib.parse.urlsplit(endpoint).netloc
            fields = f"TYPE s3, KEY_ID '{account}', SECRET '{secret}', REGION '{server['region']}'"
            fields += f", ENDPOINT '{host}', URL_STYLE 'path', USE_SSL false"
        else:
            parts = f"DefaultEndpointsProtocol=http;AccountName={account};AccountKey={secret};BlobEndpoint={endpoint};"
            # The extension for Delta knows another endpoint than Azure's only as the emulator's: it looks for the name of
            # the emulator's account in the string, and takes the address from the environment.
            parts += "EndpointSuffix=devstoreaccount1;" if "delta_scan(" in sql else ""
            os.environ["AZURITE_BLOB_STORAGE_URL"] = endpoint.rsplit("/", 1)[0]
            fields = f"TYPE azure, CONNECTION_STRING '{parts}'"
        connection.execute(f"CREATE SECRET ({fields})")
    # All but the last are for their effect: views, variables.
    *before, last = duckdb.extract_statements(sql)
    for statement in before:
        connection.execute(statement)
    return connection.sql(last.query).to_arrow_table()


def file_system(server, url):
    """The store as pyarrow reaches it, and the path there that the URL stands for."""
    from pyarrow import fs

    if server is None:
        system, path = fs.LocalFileSystem(), url
    else:
        parts = urllib.parse.urlsplit(url)
        path = (parts.username or parts.netloc) + parts.path
        account, secret, host = server["account"], server["secret"], urllib.parse.urlsplit(server["endpoint"]).netloc
        if server["kind"] == "s3":
            keys = {"access_key": account, "secret_key": secret, "region": server["region"]}
            system = fs.S3FileSystem(**keys, endpoint_override=host, scheme="http")
        else:
            where = {f"{api}_storage_authority": host for api in ("blob", "dfs")}
            where |= {f"{api}_storage_scheme": "http" for api in ("blob", "dfs")}
            system = fs.AzureFileSystem(account_name=account, account_key=secret, **where)
    return system, path


def delta_table(server, url):
    from deltalake import DeltaTable

    if server is None:
        return DeltaTable(url)
    account, secret, endpoint = server["account"], server["secret"], server["endpoint"]
    if server["kind"] == "s3":
        options = {"aws_access_key_id": account, "aws_secret_access_key": secret, "aws_region": server["region"]}
        options |= {"aws_endpoint_url": endpoint, "aws_allow_http": "true"}
    else:
        options = {"azure_storage_account_name": account, "azure_storage_account_key": secret}
        options |= {"azure_storage_endpoint": endpoint, "azure_allow_http": "true"}
    return DeltaTable(url, storage_options=options)


def delta_rows(server, url, reader):
    """A Delta table as deltalake's own engine reads it, or pyarrow the files that deltalake says it has."""
    from deltalake import QueryBuilder

    table = delta_table(server, url)
    if reader == "deltalake":
        import pyarrow

        return pyarrow.table(QueryBuilder().register("t", table).execute("SELECT * FROM t").read_all())
    from pyarrow import fs

    system, path = file_system(server, url)
    return table.to_pyarrow_dataset(filesystem=fs.SubTreeFileSystem(path, system)).to_table()


def delta_state(server, url):
    """What the log says of a table beside its rows."""
    table = delta_table(server, url)
    protocol, metadata = table.protocol(), table.metadata()
    schema = {field.name: json.loads(field.to_json())["type"] for field in table.schema().fields}
    files = sorted(table.file_uris())
    log = [{name: entry.get(name) for name in ("version", "operation")} for entry in table.history()]
    return {
        "version": table.version(),
        "reader": protocol.min_reader_version,
        "writer": protocol.min_writer_version,
        "features": [list(protocol.reader_features or []), list(protocol.writer_features or [])],
        "partitions": metadata.partition_columns,
        "schema": schema,
        "files": [file.rsplit("/", 1)[-1] for file in files],
        "history": log,
    }


def pyarrow_rows(server, url):
    from pyarrow import dataset, fs

    system, path = file_system(server, url)
    # `*` stays within one folder. A folder stands for all the Parquet files below it.
    names = path.strip("/").split("/")
    fixed = next((place for place, name in enumerate(names) if "*" in name), len(names))
    root = ("/" if path.startswith("/") else "") + "/".join(names[:fixed])
    if fixed == len(names) and system.get_file_info(root).type == fs.FileType.File:
        files = [root]
    else:
        found = system.get_file_info(fs.FileSelector(root, recursive=True))
        files = sorted(info.path for info in found if info.type == fs.FileType.File)
        files = [file for file in files if fits(file.strip("/").split("/"), names, fixed)]
    if not files:
        raise FileNotFoundError(url)
    return dataset.dataset(files, filesystem=system, format="parquet").to_table()


def fits(file, names, fixed):
    if fixed == len(names):
        return file[-1].endswith(".parquet")
    return len(file) == len(names) and all(map(fnmatch.fnmatchcase, file, names))


def objects(table):
    """Rows as JSON objects; instants as text at the column's own precision, without a database of time zones."""
    import pyarrow

    columns = {}
    for name, column in zip(table.column_names, table.columns):
        kind = column.type
        if pyarrow.types.is_timestamp(kind):
            counts = column.cast(pyarrow.int64()).to_pylist()
            columns[name] = [None if count is None else instant(count, kind) for count in counts]
        else:
            columns[name] = [plain(value) for value in column.to_pylist()]
    return [dict(zip(columns, values)) for values in zip(*columns.values())]


def instant(count, kind):
    digits = {"s": 0, "ms": 3, "us": 6, "ns": 9}[kind.unit]
    seconds, rest = divmod(count, 10**digits)
    whole = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    fraction = f".{rest:0{digits}}" if digits else ""
    return f"{whole.isoformat()}{fraction}{'Z' if kind.tz else ''}"


def plain(value):
    """JSON knows no NaN and no infinity."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def text(value):
    """Dates and times as ISO text, bytes as hexadecimal digits, all else (decimals) as Python writes it."""
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def main():
    task = json.loads(sys.stdin.buffer.readline())
    server, do = task.get("server"), task["do"]
    if do == "request":
        body = sys.stdin.buffer.read()
        rows = [request(server, task["method"], task["target"], task["headers"], body)]
    elif do == "shared_access":
        print(json.dumps(shared_access(server)))
        return
    elif do == "duckdb":
        rows = objects(duckdb_rows(server, task["sql"]))
    elif do == "delta":
        rows = objects(delta_rows(server, task["url"], task["reader"]))
    elif do == "delta_state":
        rows = [delta_state(server, task["url"])]
    else:
        rows = objects(pyarrow_rows(server, task["url"]))
    for row in rows:
        print(json.dumps(row, default=text))


try:
    main()
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")

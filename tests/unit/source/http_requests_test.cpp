// What a client may send over HTTP, and what it is told.
#include <vector>

#include "tests/support/compressed.h"
#include "tests/unit/source/http_fixture.h"
#include "tests/unit/source/tls_client.h"

using namespace rivulet;
using namespace rivulet::test;

TEST_CASE("http: 200 comes when the records are durable and not before, and the connection is kept") {
  HttpServer server;
  auto client = server.client();
  client.send(post("{\"a\":1}\n{\"a\":2}\r\n\n{\"a\":3}"));
  REQUIRE(server.received(3));
  run_ready(server.io);
  CHECK(client.read().empty());
  CHECK(server.intake->commit_soon_calls > 0);
  server.commit();
  REQUIRE(server.answered(client, "200"));
  CHECK_THAT(client.got, ContainsSubstring("{\"records\":3}\n"));
  CHECK(server.intake->payloads() == std::vector<std::string>{"{\"a\":1}", "{\"a\":2}", "{\"a\":3}"});
  CHECK(server.intake->accepted[0].topic == "127.0.0.1");
  CHECK(server.intake->positions.empty());
  client.got.clear();
  client.send(post("4"));
  REQUIRE(server.received(4));
  server.commit();
  REQUIRE(server.answered(client, "200"));
}

TEST_CASE("http: one bad line takes the whole POST back: 400 names it, nothing is accepted") {
  HttpServer server;
  const std::string answer = server.ask(post("good\ngood\n\nbad one\ngood"));
  CHECK_THAT(answer, ContainsSubstring("HTTP/1.1 400 Bad Request\r\n") && ContainsSubstring("\"error\":\"line 4: it is bad; nothing was taken\",\"line\":4}"));
  CHECK(server.intake->accepted.empty());
  CHECK_THAT(server.ask(post("a\nb\nbad", "Content-Type: application/json\r\n")), ContainsSubstring("\"line\":3}"));
  CHECK_THAT(server.ask(post("\n\n")), ContainsSubstring("400 Bad Request") && ContainsSubstring("no record"));
  CHECK_THAT(server.ask(post("")), ContainsSubstring("400 Bad Request") && ContainsSubstring("no record"));
  CHECK(server.intake->accepted.empty());
}

TEST_CASE("http: the Content-Type, the codec and framing say whether a line is a frame or the body") {
  using Kind = config::Decode::Kind;
  using Framing = config::HttpSource::Framing;
  const auto frames = [](Kind kind, const std::string& type, Framing framing = Framing::automatic) {
    auto config = http_config();
    config.framing = framing;
    HttpServer server(config, kind);
    server.ask(post("a\nb", type.empty() ? "" : "Content-Type: " + type + "\r\n"));
    return server.intake->accepted.size();
  };
  CHECK(frames(Kind::json, "application/x-ndjson") == 2);
  CHECK(frames(Kind::json, "") == 2);
  CHECK(frames(Kind::json, "application/x-www-form-urlencoded") == 2);
  CHECK(frames(Kind::json, "Application/JSON; charset=utf-8") == 1);
  CHECK(frames(Kind::json, "application/vnd.acme+json") == 1);
  CHECK(frames(Kind::raw, "text/plain") == 2);
  CHECK(frames(Kind::raw, "application/octet-stream") == 1);
  CHECK(frames(Kind::csv, "text/csv") == 1);
  CHECK(frames(Kind::influx, "") == 1);
  CHECK(frames(Kind::cbor, "application/cbor") == 1);
  CHECK(frames(Kind::json, "application/json", Framing::newline) == 2);
  CHECK(frames(Kind::json, "", Framing::body) == 1);
  CHECK(frames(Kind::csv, "application/json") == 0);
  CHECK(frames(Kind::json, "text/csv") == 0);
  CHECK(frames(Kind::raw, "multipart/form-data; boundary=x") == 0);
}

TEST_CASE("http: what is no POST to the path is refused with its status, and the body is not waited for") {
  auto config = http_config();
  config.path = "/records";
  HttpServer server(config);
  CHECK_THAT(server.ask(post("x", "", "/record")), ContainsSubstring("404 Not Found"));
  CHECK_THAT(server.ask("GET /records HTTP/1.1\r\nHost: g\r\n\r\n"), ContainsSubstring("405 Method Not Allowed") && ContainsSubstring("Allow: POST\r\n"));
  const std::string head = server.ask("HEAD /records HTTP/1.1\r\nHost: g\r\n\r\n");
  CHECK_THAT(head, ContainsSubstring("405") && Catch::Matchers::EndsWith("\r\n\r\n"));
  CHECK_THAT(server.ask(post("x", "Content-Encoding: br\r\n", "/records")), ContainsSubstring("415 Unsupported Media Type") && ContainsSubstring("Accept-Encoding: gzip, zstd\r\n"));
  CHECK_THAT(server.ask(post("x", "Expect: tea\r\n", "/records")), ContainsSubstring("417"));
  CHECK_THAT(server.ask("POST /records HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"), ContainsSubstring("400 Bad Request") && ContainsSubstring("Host"));
  CHECK_THAT(server.ask(post("x", "Host: other\r\n", "/records")), ContainsSubstring("400 Bad Request"));
  CHECK_THAT(server.ask("POST /records HTTP/1.1\r\nHost: g\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx"), ContainsSubstring("400 Bad Request"));
  CHECK_THAT(server.ask("POST /records HTTP/1.1\r\nHost: g\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"), ContainsSubstring("400 Bad Request"));
  CHECK_THAT(server.ask("nonsense\r\n\r\n"), ContainsSubstring("400 Bad Request"));
  CHECK_THAT(server.ask("POST /records HTTP/3.0\r\nHost: g\r\n\r\n"), ContainsSubstring("505"));
  CHECK_THAT(server.ask("POST /records HTTP/1.1\r\nHost: g\r\nX: " + std::string(9000, 'x') + "\r\n\r\n"), ContainsSubstring("431"));
  CHECK_THAT(server.ask("POST /records HTTP/1.1\r\nHost: g\r\nContent-Length: 99999999999\r\n\r\n"), ContainsSubstring("413 Content Too Large"));
  CHECK(server.intake->accepted.empty());
  CHECK_THAT(server.ask(post("x", "", "/records?a=b")), ContainsSubstring("200 OK"));
  CHECK_THAT(server.ask(post("x", "", "http://gateway:80/records")), ContainsSubstring("200 OK"));
  CHECK_THAT(server.ask("POST /records HTTP/1.0\r\nContent-Length: 1\r\n\r\nx"), ContainsSubstring("200 OK") && ContainsSubstring("Connection: close\r\n"));
}

TEST_CASE("http: the token is needed where one is configured, and nothing else is said without it") {
  auto config = http_config();
  config.path = "/records";
  config.token = config::Secret("s3cret");
  HttpServer server(config);
  for (const char* shown : {"", "Authorization: Bearer s3cre\r\n", "Authorization: Bearer s3cret1\r\n", "Authorization: Basic s3cret\r\n", "Authorization: Bearer\r\n", "Authorization: s3cret\r\n"})
    CHECK_THAT(server.ask(post("x", shown, "/other")), ContainsSubstring("401 Unauthorized") && ContainsSubstring("WWW-Authenticate: Bearer\r\n"));
  CHECK(server.intake->accepted.empty());
  CHECK_THAT(server.ask(post("x", "authorization: bearer  s3cret\r\n", "/records")), ContainsSubstring("200 OK"));
}

TEST_CASE("http: chunked bodies, in any pieces, and Expect: 100-continue") {
  HttpServer server;
  auto client = server.client();
  const std::string request = "POST / HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\none\r\n5\r\n\ntwo\n\r\n0\r\nTrailer: x\r\n\r\n";
  for (const char byte : request) {
    client.send(std::string_view(&byte, 1));
    run_ready(server.io);
  }
  REQUIRE(server.received(2));
  CHECK(server.intake->payloads() == std::vector<std::string>{"one", "two"});
  server.commit();
  REQUIRE(server.answered(client, "200"));
  client.got.clear();
  client.send("POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n");
  REQUIRE(server.until([&] { return client.has("HTTP/1.1 100 Continue\r\n\r\n"); }));
  client.send("x");
  REQUIRE(server.received(3));
  server.commit();
  REQUIRE(server.until([&] { return client.has("HTTP/1.1 200 OK"); }));
}

TEST_CASE("http: a transfer coding other than one chunked is refused, and what follows its head is no request") {
  HttpServer server;
  const auto told = [&](const std::string& headers, const std::string& version = "1.1") {
    const std::string answer = server.ask("POST / HTTP/" + version + "\r\nHost: g\r\n" + headers + "\r\n" + post("smuggled"));
    CHECK_THAT(answer, ContainsSubstring("Connection: close\r\n"));
    CHECK_THAT(answer.substr(8), !ContainsSubstring("HTTP/1.1"));
    return answer.substr(0, answer.find("\r\n"));
  };
  const auto coded = [](const std::string& coding) { return "Transfer-Encoding: " + coding + "\r\n"; };
  for (const char* coding : {"gzip", "xchunked", "identity", "gzip, chunked", "chunked, gzip", "chunked, chunked", "chunked;q=1", ""}) {
    INFO("Transfer-Encoding: " << coding);
    CHECK(told(coded(coding)) == "HTTP/1.1 501 Not Implemented");
  }
  CHECK(told(coded("gzip") + coded("chunked")) == "HTTP/1.1 501 Not Implemented");
  CHECK(told(coded("xchunked") + "Content-Length: 5\r\n") == "HTTP/1.1 400 Bad Request");
  CHECK(told("Content-Length: 5\r\n" + coded("xchunked")) == "HTTP/1.1 400 Bad Request");
  CHECK(told(coded("chunked"), "1.0") == "HTTP/1.1 400 Bad Request");
  CHECK(told(coded("gzip"), "1.0") == "HTTP/1.1 400 Bad Request");
  CHECK(server.intake->accepted.empty());
  CHECK_THAT(server.ask("POST / HTTP/1.1\r\nHost: g\r\n" + coded(" CHUNKED ") + "\r\n1\r\nx\r\n0\r\n\r\n"), ContainsSubstring("200 OK"));
}

TEST_CASE("http: pipelined requests are answered one after the other, each when it is durable") {
  HttpServer server;
  auto client = server.client();
  client.send(post("1") + post("bad") + post("2"));
  REQUIRE(server.received(1));
  run_ready(server.io);
  CHECK(server.intake->accepted.size() == 1);
  server.commit();
  REQUIRE(server.received(2));
  CHECK_THAT(client.read(), ContainsSubstring("200 OK") && ContainsSubstring("400 Bad Request"));
  client.got.clear();
  server.commit();
  REQUIRE(server.answered(client, "200"));
  CHECK_FALSE(client.closed());
}

TEST_CASE("http: gzip and zstd are unpacked, damaged ones are 400, bombs 413") {
  auto config = http_config();
  config.max_body_bytes = 1000;
  HttpServer server(config);
  const std::string lines = "one\ntwo\n";
  CHECK_THAT(server.ask(post(gzip(lines), "Content-Encoding: gzip\r\n")), ContainsSubstring("{\"records\":2}"));
  CHECK_THAT(server.ask(post(zstd(lines), "Content-Encoding: zstd\r\n")), ContainsSubstring("{\"records\":2}"));
  CHECK(server.intake->payloads() == std::vector<std::string>{"one", "two", "one", "two"});
  const std::string bomb(1 << 20, 'x');
  CHECK_THAT(server.ask(post(gzip(bomb).substr(0, 1000), "Content-Encoding: gzip\r\n")), ContainsSubstring("413 Content Too Large"));
  CHECK_THAT(server.ask(post(zstd(bomb), "Content-Encoding: zstd\r\n")), ContainsSubstring("413 Content Too Large"));
  CHECK_THAT(server.ask(post(gzip(lines).substr(0, 15), "Content-Encoding: gzip\r\n")), ContainsSubstring("400 Bad Request"));
  CHECK_THAT(server.ask(post(zstd(lines).substr(0, 12), "Content-Encoding: zstd\r\n")), ContainsSubstring("400 Bad Request"));
  CHECK_THAT(server.ask(post(lines, "Content-Encoding: gzip\r\n")), ContainsSubstring("400 Bad Request"));
  CHECK(server.intake->accepted.size() == 4);
}

TEST_CASE("http: a body is 413 beyond max_body, by its length or as it comes") {
  auto config = http_config();
  config.max_body_bytes = 1000;
  HttpServer server(config);
  CHECK_THAT(server.ask(post(std::string(1000, 'x'))), ContainsSubstring("200 OK"));
  CHECK_THAT(server.ask(post(std::string(1001, 'x'))), ContainsSubstring("413"));
  CHECK_THAT(server.ask("POST / HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + std::string(1001, 'x') + "\r\n0\r\n\r\n"), ContainsSubstring("413"));
  CHECK(server.intake->accepted.size() == 1);
}

TEST_CASE("http: beyond max_bodies of all clients a request is 503 and the others go on") {
  auto config = http_config();
  config.max_body_bytes = config.max_bodies_bytes = 100'000;
  HttpServer server(config);
  auto slow = server.client();
  slow.send("POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 100000\r\n\r\n" + std::string(60'000, 'x'));
  run_ready(server.io);
  const std::string other = server.ask(post(std::string(60'000, 'y')));
  CHECK_THAT(other, ContainsSubstring("503 Service Unavailable") && ContainsSubstring("Retry-After: ") && ContainsSubstring("max_bodies"));
  slow.send(std::string(40'000, 'x'));
  REQUIRE(server.received(1));
  server.commit();
  REQUIRE(server.answered(slow, "200"));
  CHECK_THAT(server.ask(post(std::string(60'000, 'y'))), ContainsSubstring("200 OK"));
}

TEST_CASE("http: without room a request waits a moment, then it is 503 with Retry-After, and soon others are before their body comes") {
  HttpServer server;
  server.intake->room_up_to = 0;
  auto patient = server.client();
  patient.send(post("1"));
  run_ready(server.io);
  CHECK(patient.read().empty());
  server.intake->room_up_to = 1;
  server.source->on_room();
  REQUIRE(server.received(1));
  server.commit();
  REQUIRE(server.answered(patient, "200"));
  auto late = server.client();
  late.send(post("2"));
  run_ready(server.io);
  server.clock.advance(3000);
  REQUIRE(server.answered(late, "503"));
  CHECK_THAT(late.got, ContainsSubstring("Retry-After: 5\r\n"));
  CHECK_FALSE(late.closed());
  auto early = server.client();
  early.send("POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 100000\r\n\r\n");
  REQUIRE(server.answered(early, "503"));
  server.intake->room_up_to = 2;
  CHECK_THAT(server.ask(post("3")), ContainsSubstring("200 OK"));
  CHECK(server.intake->payloads() == std::vector<std::string>{"1", "3"});
}

TEST_CASE("http: who is slow is told 408, who is silent is closed, others are served meanwhile") {
  auto config = http_config();
  config.timeout_ms = 30'000;
  HttpServer server(config);
  auto head = server.client(), body = server.client(), silent = server.client();
  head.send("POST / HT");
  body.send("POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 10\r\n\r\nx");
  REQUIRE(server.until([&] { return server.source->clients() == 3; }));
  run_ready(server.io);
  server.clock.advance(11'000);
  REQUIRE(server.answered(head, "408"));
  CHECK_THAT(server.ask(post("x")), ContainsSubstring("200 OK"));
  CHECK(body.read().empty());
  server.clock.advance(20'000);
  REQUIRE(server.answered(body, "408"));
  server.clock.advance(40'000);
  REQUIRE(server.until([&] { return silent.closed(); }));
  CHECK(silent.got.empty());
  REQUIRE(server.until([&] { return head.closed() && body.closed(); }));
  CHECK(server.intake->counts["idle_closed"] >= 1);
}

TEST_CASE("http over TLS: one client too many is told so") {
  const Certificates made;
  auto config = http_config();
  config.max_clients = 1;
  config.tls.emplace();
  config.tls->certificate = made.certificate;
  config.tls->key = made.key;
  HttpServer server(config);
  config::Tls trust;
  trust.ca = made.certificate;
  const auto first = server.client();  // its handshake is awaited
  REQUIRE(server.until([&] { return server.source->clients() == 1; }));
  TlsClient late(server.source->port(), trust, post("x"), "never");
  REQUIRE(server.until([&] { return late.done.load(); }));
  CHECK_THAT(late.got, ContainsSubstring("HTTP/1.1 503") && ContainsSubstring("too many clients (max_clients is 1)"));
  CHECK(server.source->clients() == 1);
  CHECK(server.intake->accepted.empty());
}

TEST_CASE("http: one client too many is told so, unless one that is idle gives its place") {
  auto config = http_config();
  config.max_clients = 2;
  HttpServer server(config);
  auto a = server.client(), b = server.client();
  a.send("POST / HTTP/1.1\r\n");
  b.send("POST / HTTP/1.1\r\n");
  REQUIRE(server.until([&] { return server.source->clients() == 2; }));
  run_ready(server.io);
  auto c = server.client();
  REQUIRE(server.answered(c, "503"));
  CHECK_THAT(c.got, ContainsSubstring("too many clients"));
  b.send("Host: g\r\nContent-Length: 1\r\n\r\nx");
  REQUIRE(server.received(1));
  server.commit();
  REQUIRE(server.answered(b, "200"));
  server.clock.advance(2000);
  CHECK_THAT(server.ask(post("y")), ContainsSubstring("200 OK"));
  CHECK(server.until([&] { return b.closed(); }));
}

TEST_CASE("http: a client that goes in the middle of a request, or before its answer, disturbs nobody") {
  HttpServer server;
  {
    auto half = server.client(), whole = server.client();
    half.send("POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 10\r\n\r\nabc");
    whole.send(post("1"));
    REQUIRE(server.received(1));
    run_ready(server.io);
  }
  server.commit();
  REQUIRE(server.until([&] { return server.source->clients() == 0; }));
  CHECK(server.intake->counts["incomplete_request"] == 1);
  CHECK_THAT(server.ask(post("2")), ContainsSubstring("200 OK"));
}

TEST_CASE("http: at the end what is accepted is still answered, what is not is told to come again") {
  HttpServer server;
  auto accepted = server.client(), unfinished = server.client(), idle = server.client();
  accepted.send(post("1"));
  unfinished.send("POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 10\r\n\r\nabc");
  REQUIRE(server.received(1));
  REQUIRE(server.until([&] { return server.source->clients() == 3; }));
  run_ready(server.io);
  server.source->stop();
  REQUIRE(server.answered(unfinished, "503"));
  REQUIRE(server.until([&] { return idle.closed(); }));
  CHECK(server.source->state() == "stopped");
  server.commit();
  REQUIRE(server.answered(accepted, "200"));
  CHECK_THAT(accepted.got, ContainsSubstring("Connection: close\r\n"));
  server.source.reset();
  run_ready(server.io);
}

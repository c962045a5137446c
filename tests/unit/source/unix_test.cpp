#include <fcntl.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "agent/source/unix/unix_source.h"
#include "tests/support/catch.h"
#include "tests/support/fake_intake.h"
#include "tests/support/run_until.h"
#include "tests/support/tcp_client.h"
#include "tests/support/temp_folder.h"

using namespace rivulet;
using namespace rivulet::test;

namespace {

const std::string me = "uid:" + std::to_string(::getuid()) + "/pid:" + std::to_string(::getpid());

struct Receiver {
  explicit Receiver(bool datagrams = false) {
    config.path = folder / "in.sock";
    config.datagrams = datagrams;
  }
  void begin() {
    source = source::make_unix_source(io, config, "local", *intake);
    source->start();
  }
  void crash() {  // the file stays, as after kill -9
    const std::string kept = config.path + ".kept";
    std::filesystem::rename(config.path, kept);
    source.reset();
    std::filesystem::rename(kept, config.path);
    intake = intake->after_crash();
  }
  template <class Condition>
  bool until(Condition condition) {
    return run_until(io, condition);
  }
  bool received(std::size_t count) {
    return until([&] { return intake->accepted.size() >= count; }) && intake->accepted.size() == count;
  }

  TempFolder folder;
  boost::asio::io_context io;
  config::UnixSource config;
  std::unique_ptr<FakeIntake> intake = std::make_unique<FakeIntake>();
  std::unique_ptr<source::Source> source;
};

struct Sender {
  explicit Sender(const std::string& path) : fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::memcpy(to.sun_path, path.c_str(), path.size());
    REQUIRE(::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
  }
  ~Sender() { ::close(fd); }
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;
  bool send(std::string_view bytes) const { return ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()); }
  const int fd;
};

std::size_t open_files() {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator()));
}

}  // namespace

TEST_CASE("unix: lines of several clients arrive, each with who sent them as topic") {
  Receiver server;
  server.begin();
  TcpClient a(server.config.path), b(server.config.path);
  a.send("a1\na");
  b.send("b1\n");
  REQUIRE(server.received(2));
  a.send("2\n");
  REQUIRE(server.received(3));
  CHECK(server.intake->accepted[2].payload == "a2");
  CHECK(server.intake->accepted[2].topic == me);
  CHECK_THAT(server.source->state(), ContainsSubstring("listening on " + server.config.path + ", 2 clients"));
}

TEST_CASE("unix: with acknowledge a session resumes after a crash, and the dead process's socket file is replaced") {
  Receiver server;
  server.config.stream.acknowledge = true;
  server.begin();
  {
    TcpClient client(server.config.path);
    client.send("HELLO s\n");
    REQUIRE(server.until([&] { return client.has("RESUME 0\n"); }));
    client.send("1\n2\n");
    REQUIRE(server.received(2));
    server.intake->commit(*server.source);
    REQUIRE(server.until([&] { return client.has("\n2\n"); }));
    client.send("3\n");
    REQUIRE(server.received(3));
  }
  server.crash();
  REQUIRE(std::filesystem::is_socket(server.config.path));
  server.begin();
  TcpClient client(server.config.path);
  client.send("HELLO s\n");
  REQUIRE(server.until([&] { return client.has("RESUME 2\n"); }));
  client.send("3\n");
  REQUIRE(server.received(3));
  CHECK(server.intake->accepted[2].topic == "s");
}

TEST_CASE("unix: a living listener keeps its socket, and the second is told and has it when the first is gone") {
  for (const bool first_datagrams : {false, true})
    for (const bool second_datagrams : {false, true}) {
      Receiver server(first_datagrams);
      server.begin();
      Receiver other(second_datagrams);
      other.config.path = server.config.path;
      other.begin();
      CHECK_THAT(other.source->state(), ContainsSubstring("a living process listens there already") && ContainsSubstring(server.config.path));
      server.source.reset();
      REQUIRE(other.until([&] { return other.source->state().starts_with("listening on "); }));
      CHECK(std::filesystem::is_socket(server.config.path));
    }
}

TEST_CASE("unix: a file that is no socket is never removed") {
  Receiver server;
  std::ofstream(server.config.path) << "precious";
  server.begin();
  CHECK_THAT(server.source->state(), ContainsSubstring("there is a file that is not a socket"));
  server.source.reset();
  CHECK(std::filesystem::file_size(server.config.path) == 8);
}

TEST_CASE("unix: a folder that is not there is named") {
  Receiver server;
  server.config.path = server.folder / "none/in.sock";
  server.begin();
  CHECK_THAT(server.source->state(), ContainsSubstring("its folder: No such file or directory"));
  CHECK(server.source->in_trouble());
}

TEST_CASE("unix: the socket file has the mode that was asked for, and is gone after the end unless it is another's") {
  for (const bool datagrams : {false, true}) {
    Receiver server(datagrams);
    server.config.mode = 0622;
    server.begin();
    struct stat about{};
    REQUIRE(::stat(server.config.path.c_str(), &about) == 0);
    CHECK((about.st_mode & 07777) == 0622);
    server.source->stop();
    CHECK_FALSE(std::filesystem::exists(server.config.path));
    CHECK(server.source->state() == "stopped");
    server.begin();
    std::filesystem::remove(server.config.path);
    std::ofstream(server.config.path) << "another's";
    server.source.reset();
    CHECK(std::filesystem::exists(server.config.path));
  }
}

TEST_CASE("unix: datagrams or their lines are records, one that is too long is left out and counted") {
  Receiver server(true);
  server.config.datagram.max_datagram_bytes = 100;
  server.begin();
  Sender sender(server.config.path);
  REQUIRE(sender.send("a\nb\n"));
  REQUIRE(sender.send(std::string(101, 'x')));
  REQUIRE(sender.send("c"));
  REQUIRE(server.received(2));
  CHECK(server.intake->payloads() == std::vector<std::string>{"a\nb\n", "c"});
  CHECK(server.intake->accepted[1].topic == me);
  CHECK(server.intake->counts["datagram_too_long"] == 1);
  server.source.reset();
  server.config.datagram.lines = true;
  server.begin();
  Sender again(server.config.path);
  REQUIRE(again.send("1\r\n\n2"));
  REQUIRE(server.received(4));
  CHECK(server.intake->accepted[3].payload == "2");
}

TEST_CASE("unix: without room a sender of datagrams has to wait, and nothing is dropped") {
  Receiver server(true);
  server.begin();
  server.intake->room_up_to = 0;
  Sender sender(server.config.path);
  std::size_t sent = 0;
  while (sender.send(std::to_string(sent))) ++sent;
  CHECK(errno == EAGAIN);
  run_ready(server.io);
  CHECK(server.intake->accepted.empty());
  server.intake->room_up_to = SIZE_MAX;
  server.source->on_room();
  REQUIRE(server.received(sent));
  CHECK(server.intake->accepted.back().payload == std::to_string(sent - 1));
}

TEST_CASE("unix: open files that come with a datagram or a stream are closed") {
  for (const bool datagrams : {true, false}) {
    Receiver server(datagrams);
    server.begin();
    std::unique_ptr<Sender> sender;
    std::unique_ptr<TcpClient> client;
    if (datagrams) sender = std::make_unique<Sender>(server.config.path);
    else client = std::make_unique<TcpClient>(server.config.path);
    const int through = datagrams ? sender->fd : client->fd();
    char text[] = "x\n";
    const auto send_files = [&](int count) {
      std::vector<int> files(static_cast<std::size_t>(count), through);
      iovec part{text, 2};
      std::vector<char> control(CMSG_SPACE(sizeof(int) * files.size()));
      msghdr message{};
      message.msg_iov = &part;
      message.msg_iovlen = 1;
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof(int) * files.size());
      std::memcpy(CMSG_DATA(header), files.data(), sizeof(int) * files.size());
      return ::sendmsg(through, &message, MSG_NOSIGNAL) == 2;
    };
    REQUIRE(send_files(1));
    REQUIRE(server.received(1));
    const std::size_t before = open_files();
    for (const int count : {1, 5, 100, 253}) REQUIRE(send_files(count));
    REQUIRE(server.received(5));
    CHECK(open_files() == before);
  }
}

#include "agent/app/status_page.h"
#include "agent/app/status_server.h"

namespace rivulet::app {

StatusAnswer answer_status(const std::string& method, const std::string& target, const std::string& accept, const StatusServer::Look& look,
                           const StatusServer::Remember& remember) {
  if (method != "GET" && method != "HEAD") return {405, "text/plain; charset=utf-8", "only GET and HEAD\n"};
  const std::string path = target.substr(0, target.find('?'));
  if (path == "/") return {200, "text/html; charset=utf-8", std::string(status_page()), status_page_policy()};
  if (path == "/history") return {200, "application/json", history_json(remember())};
  if (path == "/metrics") return {200, "text/plain; version=0.0.4; charset=utf-8", metrics_text(look())};
  if (path == "/status") {
    if (accept.find("text/plain") != std::string::npos) return {200, "text/plain; charset=utf-8", status_text(look())};
    return {200, "application/json", status_json(look())};
  }
  if (path == "/healthz") {
    const auto problems = health_problems(look());
    if (problems.empty()) return {200, "text/plain; charset=utf-8", "ok\n"};
    std::string body;
    for (const auto& problem : problems) body += problem + "\n";
    return {503, "text/plain; charset=utf-8", body};
  }
  return {404, "text/plain; charset=utf-8", "there are / (a page for people), /metrics, /healthz, /status and /history\n"};
}

}  // namespace rivulet::app

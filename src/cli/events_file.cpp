#include "src/cli/events_file.h"

#include <ganforge/error.h>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cerrno>
#include <ctime>
#include <fstream>
#include <system_error>

namespace ganforge {

void add_event(const std::filesystem::path& file, std::int64_t step, const std::string& name,
               const nlohmann::ordered_json& details) {
  nlohmann::ordered_json event = {{"step", step}, {"event", name}};
  event.update(details);
  event["time"] = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  std::ofstream out(file, std::ios::app);
  out << event.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n" << std::flush;
  if (!out)
    throw FormatError(fmt::format("cannot write {}: {}", file.string(), std::generic_category().message(errno)));
}

}  // namespace ganforge

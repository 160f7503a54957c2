// events.jsonl: what went wrong in a run, and what was done about it; one JSON object a line, in the order of time.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <filesystem>
#include <string>

namespace ganforge {

/// Adds a line {"step": …, "event": name, …details, "time": …}. Throws FormatError if it cannot be written.
void add_event(const std::filesystem::path& file, std::int64_t step, const std::string& name,
               const nlohmann::ordered_json& details);

}  // namespace ganforge

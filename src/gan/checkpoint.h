// Variables of a store in a file.
#pragma once

#include <ganforge/store.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>

namespace ganforge {

/// Those that are `wanted`, by name, in one safetensors file, written atomically. Waits for the device.
void write_variables(const std::filesystem::path& path, VariableStore& store,
                     const std::function<bool(const Variable&)>& wanted,
                     const std::map<std::string, std::string>& metadata);

}  // namespace ganforge

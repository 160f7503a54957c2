// The command line: commands, their flags, and help.
#pragma once

#include <ganforge/error.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ganforge {

/// Something is wrong in the command line itself: exit code 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// Receives the text of a value. Throws UsageError with what follows the flag's name: "must be …, got …".
using Setter = std::function<void(const std::string& text)>;

Setter set_true(bool& to);
Setter set_text(std::optional<std::string>& to);
Setter set_whole(std::optional<std::int64_t>& to, std::int64_t low, std::int64_t high);
/// A finite float above 0.
Setter set_rate(std::optional<float>& to);
Setter set_choice(std::string& to, std::vector<std::string> choices);
Setter set_preset(std::optional<std::string>& to);

struct Flag {
  std::string name;
  std::string value;  ///< placeholder in the help; empty: a switch
  std::string help;
  Setter set;
};
struct FlagGroup {
  std::string title;
  std::vector<Flag> flags;
};
/// What stands without a flag. Each must be given.
struct Positional {
  std::string name, help;
  Setter set;
};
struct Command {
  std::string name;  ///< one word or two
  std::string summary;
  std::string examples;  ///< lines of the help
  std::vector<Positional> positionals;
  std::vector<FlagGroup> groups;
  /// Gets the words behind the command, for the record; returns the exit code.
  std::function<int(const std::vector<std::string>& words)> run;
};

std::string help(const Command& command);
std::string help(std::span<const Command> commands);

/// Fills in what the command's setters point to. Returns false if help was asked for. Throws UsageError, with the
/// nearest name for an unknown flag.
bool parse(const Command& command, const std::vector<std::string>& words);

/// " (did you mean 'word'?)", or nothing.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& known);

}  // namespace ganforge

#include "src/cli/arguments.h"

#include "src/core/nearest.h"

#include <ganforge/gan.h>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace ganforge {
namespace {

/// All of the text as a number, in the C locale.
template <class T>
bool read_number(const std::string& text, T& value) {
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && at == end;
}

/// The nearest flag; else one that begins with the word, or that the word begins with.
std::string did_you_mean_flag(const std::string& word, const std::vector<std::string>& known) {
  const std::string name = word.substr(0, word.find('='));
  if (std::string near = did_you_mean(name, known); !near.empty()) return near;
  for (const std::string& flag : known)
    if (name.size() > 3 && (flag.starts_with(name) || name.starts_with(flag)))
      return fmt::format(" (did you mean '{}'?)", flag);
  return {};
}

}  // namespace

Setter set_true(bool& to) {
  return [&to](const std::string&) { to = true; };
}

Setter set_text(std::optional<std::string>& to) {
  return [&to](const std::string& text) {
    if (text.empty()) throw UsageError("must not be empty");
    to = text;
  };
}

Setter set_whole(std::optional<std::int64_t>& to, std::int64_t low, std::int64_t high) {
  return [&to, low, high](const std::string& text) {
    std::int64_t value = 0;
    if (!read_number(text, value) || value < low || value > high)
      throw UsageError(fmt::format("must be a whole number from {} to {}, got '{}'", low, high, text));
    to = value;
  };
}

Setter set_rate(std::optional<float>& to) {
  return [&to](const std::string& text) {
    float value = 0;
    // Rates below the smallest normal number are as good as 0.
    if (!read_number(text, value) || !std::isfinite(value) || value < std::numeric_limits<float>::min())
      throw UsageError(fmt::format("must be a number above 0, got '{}'", text));
    to = value;
  };
}

Setter set_choice(std::string& to, std::vector<std::string> choices) {
  return [&to, choices](const std::string& text) {
    if (std::ranges::find(choices, text) == choices.end())
      throw UsageError(
          fmt::format("must be {}, got '{}'{}", fmt::join(choices, " or "), text, did_you_mean(text, choices)));
    to = text;
  };
}

Setter set_preset(std::optional<std::string>& to) {
  return [&to](const std::string& text) {
    const std::vector<std::string> known = preset_names();
    if (std::ranges::find(known, text) == known.end())
      throw UsageError(fmt::format("'{}' is no preset{}; `ganforge info` lists them", text, did_you_mean(text, known)));
    to = text;
  };
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& known) {
  const std::string near = nearest(word, known);
  return near.empty() ? "" : fmt::format(" (did you mean '{}'?)", near);
}

std::string help(const Command& command) {
  std::string text = fmt::format("ganforge {}: {}\n\nExamples\n{}", command.name, command.summary, command.examples);
  if (!command.positionals.empty()) text += command.positionals.size() == 1 ? "\nArgument\n" : "\nArguments\n";
  for (const Positional& positional : command.positionals)
    text += fmt::format("  {:<26}{}\n", positional.name, positional.help);
  for (const FlagGroup& group : command.groups) {
    text += fmt::format("\n{}\n", group.title);
    for (const Flag& flag : group.flags)
      text += fmt::format("  {:<26}{}\n", flag.name + (flag.value.empty() ? "" : " " + flag.value), flag.help);
  }
  return text;
}

std::string help(std::span<const Command> commands) {
  std::string text =
      "ganforge: generative adversarial networks, on the CPU and on NVIDIA GPUs\n\n"
      "Examples\n"
      "  ganforge train                             trains on Fashion-MNIST; results go to runs/00000-…\n"
      "  ganforge sample runs/00000-seed-dense-fashion-mnist --n 100 --out grid.png\n"
      "  ganforge train --resume runs/00000-seed-dense-fashion-mnist --steps 20000\n\n"
      "Commands\n";
  for (const Command& command : commands) text += fmt::format("  {:<18}{}\n", command.name, command.summary);
  return text +
         "\n`ganforge COMMAND --help` shows the flags of a command, `ganforge --version` the version.\n"
         "Exit codes: 0 done; 1 a file, the data, the device or the configuration is at fault; 2 the command line is;\n"
         "130 and 143 stopped by Ctrl-C and SIGTERM, after saving.\n";
}

bool parse(const Command& command, const std::vector<std::string>& words) {
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  bool wants_help = false;
  std::vector<std::string> given;  // names of positionals
  app.add_flag("-h,--help", wants_help)->disable_flag_override();
  std::vector<std::string> known = {"--help"};
  std::vector<std::function<void()>> setters;

  // Values are set when all words are understood: an unknown flag is reported first.
  const auto add = [&](const std::string& name, const Setter& set) {
    return [&setters, name, set](const std::string& text) {
      setters.push_back([=] {
        try {
          set(text);
        } catch (const UsageError& error) {
          throw UsageError(fmt::format("{} {}", name, error.what()));
        }
      });
    };
  };
  for (const FlagGroup& group : command.groups) {
    for (const Flag& flag : group.flags) {
      known.push_back(flag.name);
      if (flag.value.empty())
        app.add_flag_callback(flag.name, [set = add(flag.name, flag.set)] { set(""); })->disable_flag_override();
      else
        app.add_option_function<std::string>(flag.name, add(flag.name, flag.set))
            ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    }
  }
  for (const Positional& positional : command.positionals)
    app.add_option_function<std::string>(positional.name, [&](const std::string& text) {
      given.push_back(positional.name);
      add(positional.name, positional.set)(text);
    });

  const std::string see = fmt::format("; see `ganforge {} --help`", command.name);
  try {
    app.parse(std::vector<std::string>(words.rbegin(), words.rend()));  // CLI11 takes them from the back
  } catch (const CLI::ArgumentMismatch& error) {
    const std::string text = error.what();
    const bool surplus = text.find("override") != std::string::npos;
    std::string name = text.substr(0, text.find_first_of(": "));
    if (!name.starts_with("-")) name = "--" + name;
    throw UsageError(fmt::format("{} {}{}", name, surplus ? "takes no value" : "wants a value", see));
  } catch (const CLI::ParseError& error) {
    throw UsageError(error.what() + see);
  }
  if (wants_help) return false;
  const std::vector<std::string> unknown = app.remaining();
  const auto flag = std::ranges::find_if(unknown, [](const std::string& word) { return word.starts_with("-"); });
  if (flag != unknown.end())
    throw UsageError(fmt::format("unknown flag '{}'{}{}", *flag, did_you_mean_flag(*flag, known), see));
  for (const Positional& positional : command.positionals)
    if (std::ranges::find(given, positional.name) == given.end())
      throw UsageError(fmt::format("{}: {} is missing ({}){}", command.name, positional.name, positional.help, see));
  for (const auto& set : setters) set();
  if (!unknown.empty()) throw UsageError(fmt::format("unexpected argument '{}'{}", unknown[0], see));
  return true;
}

}  // namespace ganforge

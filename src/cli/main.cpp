// The program: picks the command, and turns whatever goes wrong into one line and an exit code.
#include "src/cli/commands.h"

#include <ganforge/config.h>

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <new>
#include <stdexcept>

namespace ganforge {
namespace {

int run(const std::vector<std::string>& words) {
  const std::vector<Command> commands = {
      train_command(), sample_command(),   eval_command(),         train_classifier_command(), info_command(),
      bench_command(), selftest_command(), data_convert_command(), data_inspect_command()};
  std::vector<std::string> names;
  for (const Command& command : commands) names.push_back(command.name);

  if (words.empty())
    throw UsageError(
        "a command is missing: train, sample, eval, train-classifier, info, bench, selftest or data; see `ganforge "
        "--help`");
  const std::string& word = words[0];
  if (word == "--help" || word == "-h" || word == "help") {
    fmt::print("{}", help(commands));
    return 0;
  }
  if (word == "--version") {
    fmt::print("ganforge {}\n", GANFORGE_VERSION);
    return 0;
  }
  // `data` is followed by a second word that belongs to the name.
  const std::size_t named = word == "data" && words.size() > 1 ? 2 : 1;
  const std::string name = named == 2 ? word + " " + words[1] : word;
  const auto command = std::ranges::find(commands, name, &Command::name);
  if (word == "data" && named == 2 && (words[1] == "--help" || words[1] == "-h")) {
    for (const Command& each : commands)
      if (each.name.starts_with("data ")) fmt::print("{}{}", &each == &commands.back() ? "\n" : "", help(each));
    return 0;
  }
  if (command == commands.end() && word == "data")
    throw UsageError(fmt::format("data: convert or inspect must follow{}; see `ganforge data --help`",
                                 named == 2 ? fmt::format(", got '{}'", words[1]) : ""));
  if (command == commands.end())
    throw UsageError(fmt::format("unknown {} '{}'{}; see `ganforge --help`", word.starts_with("-") ? "flag" : "command",
                                 word, did_you_mean(word, names)));
  const std::vector<std::string> rest(words.begin() + static_cast<std::ptrdiff_t>(named), words.end());
  if (!parse(*command, rest)) {
    fmt::print("{}", help(*command));
    return 0;
  }
  return command->run(rest);
}

constexpr auto no_memory = "out of memory; a smaller model or batch, or fewer samples, may help";

int fail(std::string message, int code) {
  // One line, whatever names of files and values contain.
  for (char& c : message)
    if (std::iscntrl(static_cast<unsigned char>(c))) c = '?';
  std::fflush(stdout);
  std::fprintf(stderr, "ganforge: %s\n", message.c_str());
  return code;
}

int run_safely(const std::vector<std::string>& words) {
  try {
    const int code = run(words);
    if (std::fflush(stdout) != 0 || std::ferror(stdout))
      return fail(fmt::format("cannot write to standard output: {}", std::strerror(errno)), code == 0 ? 1 : code);
    return code;
  } catch (const UsageError& error) {
    return fail(error.what(), 2);
  } catch (const std::bad_alloc&) {
    return fail(no_memory, 1);
  } catch (const std::length_error&) {
    return fail(no_memory, 1);
  } catch (const std::exception& error) {
    return fail(error.what(), 1);
  }
}

}  // namespace
}  // namespace ganforge

int main(int argc, char** argv) {
  // A full disk or a closed pipe is an error code of write(), with a message, and not a silent end.
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
  return ganforge::run_safely({argv + std::min(argc, 1), argv + argc});
}

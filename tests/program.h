// The program as a process, for tests.
#pragma once

#include "tests/files.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <functional>
#include <sstream>
#include <thread>
#include <vector>

namespace ganforge::test {

namespace fs = std::filesystem;
using nlohmann::json;
using Words = std::vector<std::string>;

struct Result {
  int code = 0;    // of a process that exited
  int signal = 0;  // that ended it
  std::string out, err;
};

class Process {
 public:
  Process(const fs::path& folder, const Words& words, rlim_t file_limit = RLIM_INFINITY) : folder_(folder) {
    std::vector<char*> argv = {const_cast<char*>(GANFORGE_PROGRAM)};
    for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    id_ = ::fork();
    if (id_ != 0) return;
    const rlimit limit = {file_limit, file_limit};
    const int out = ::open((folder / ".out").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const int err = ::open((folder / ".err").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (::chdir(folder.c_str()) != 0 || ::dup2(out, 1) < 0 || ::dup2(err, 2) < 0 ||
        ::setrlimit(RLIMIT_FSIZE, &limit) != 0)
      ::_exit(126);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  ~Process() {
    if (id_ > 0) send(SIGKILL), wait();
  }
  Process(const Process&) = delete;

  void send(int signal) const { ::kill(id_, signal); }
  bool running() const {
    siginfo_t info = {};
    return ::waitid(P_PID, static_cast<id_t>(id_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
  }
  Result wait() {
    int status = 0;
    ::waitpid(id_, &status, 0);
    id_ = 0;
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, WIFSIGNALED(status) ? WTERMSIG(status) : 0,
            slurp(folder_ / ".out"), slurp(folder_ / ".err")};
  }

 private:
  fs::path folder_;
  pid_t id_ = 0;
};

/// Waits for something that another process does.
inline bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition() && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return condition();
}

inline std::string images(int count, int size = 28) {
  std::string file = {0,
                      0,
                      8,
                      3,
                      0,
                      0,
                      static_cast<char>(count >> 8),
                      static_cast<char>(count),
                      0,
                      0,
                      0,
                      static_cast<char>(size),
                      0,
                      0,
                      0,
                      static_cast<char>(size)};
  std::uint32_t state = 7;
  for (int i = 0; i < count * size * size; ++i)
    file += static_cast<char>((state = state * 1664525u + 1013904223u) >> 24);
  return file;
}

/// An IDX file of labels for `images(count)`: 0, 1, 2, …, again from `classes` on.
inline std::string labels(int count, int classes) {
  std::string file = {0, 0, 8, 1, 0, 0, static_cast<char>(count / 256), static_cast<char>(count % 256)};
  for (int i = 0; i < count; ++i) file += static_cast<char>(i % classes);
  return file;
}

inline Words operator+(Words a, const Words& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// A small model, so that most runs take a moment.
inline const std::string small_model = R"(data = "images-idx3-ubyte"
steps = 20
batch = 8
sample_every = 10
checkpoint_every = 5
metrics_every = 2

[latent]
shape = [4]

[[generator]]
type = "linear"
out_features = 784
[[generator]]
type = "tanh"
[[generator]]
type = "reshape"
shape = [28, 28, 1]

[[discriminator]]
type = "flatten"
[[discriminator]]
type = "linear"
out_features = 1
)";

/// One thread: a second one would wait for its turn when tests run side by side.
inline const Words train_words = {"train", "--device", "cpu", "--threads", "1"};

class Cli : public testing::Test {
 protected:
  Cli() {
    write(folder_ / "images-idx3-ubyte", images(256));
    write(folder_ / "small.toml", small_model);
  }

  Result run(const Words& words, rlim_t file_limit = RLIM_INFINITY) {
    return Process(folder_.path(), words, file_limit).wait();
  }

  /// One line on stderr that holds all of `parts`, nothing on stdout, nothing made.
  void expect_error(const Words& words, int code, const Words& parts) {
    const std::string command = fmt::format("{}", fmt::join(words, " "));
    SCOPED_TRACE(command);
    const Result result = run(words);
    EXPECT_EQ(result.signal, 0);
    EXPECT_EQ(result.code, code);
    EXPECT_EQ(result.out, "");
    EXPECT_TRUE(result.err.starts_with("ganforge: ")) << result.err;
    EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << result.err;
    for (const std::string& part : parts)
      EXPECT_NE(result.err.find(part), std::string::npos) << part << "\n" << result.err;
    EXPECT_FALSE(fs::exists(folder_ / "runs"));
  }

  void train(const Words& words) {
    const Result result = run(train_words + Words{"--progress", "plain"} + words);
    ASSERT_EQ(result.code, 0) << result.err;
    ASSERT_EQ(result.err, "");
  }

  fs::path path(const std::string& name) const { return folder_ / name; }

  std::vector<json> metrics(const std::string& run_folder) const {
    std::vector<json> rows;
    std::istringstream text(slurp(path(run_folder) / "metrics.jsonl"));
    for (std::string line; std::getline(text, line) && !text.eof();) rows.push_back(json::parse(line));
    return rows;
  }

  test::TemporaryFolder folder_;
};

inline const Words small = {"--config", "small.toml"};
inline const std::string run0 = "runs/00000-small-images-idx3-ubyte";

inline Words names_in(const fs::path& folder) {
  Words names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::ranges::sort(names);
  return names;
}

}  // namespace ganforge::test

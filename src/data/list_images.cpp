#include <ganforge/error.h>

#include "src/data/byte_source.h"
#include "src/data/image_folder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <set>
#include <system_error>

namespace ganforge {
namespace {

namespace fs = std::filesystem;

bool hidden(const fs::path& path) {
  return path.filename().string().starts_with(".");
}

std::string lower_extension(const fs::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return extension;
}

/// By its name, and for other names by its first bytes: a damaged image with the right name is an image.
bool is_image_file(const fs::path& path) {
  constexpr const char* extensions[] = {".png", ".jpg", ".jpeg", ".webp"};
  if (std::ranges::find(extensions, lower_extension(path)) != std::end(extensions)) return true;
  std::array<std::uint8_t, 12> bytes{};
  try {
    const std::size_t got = InputFile(path).read(bytes.data(), bytes.size());
    return image_format({bytes.data(), got}) != ImageFormat::none;
  } catch (const FormatError&) {
    return false;  // not ours to complain about
  }
}

/// Counts what is no image, by extension.
class PassedOver {
 public:
  void add(const fs::path& path) { ++count_[lower_extension(path)]; }
  void note(std::vector<std::string>& notes) const {
    std::int64_t total = 0;
    std::vector<std::string> kinds;
    for (const auto& [extension, count] : count_) {
      total += count;
      kinds.push_back(extension.empty() ? "no extension" : extension);
    }
    if (total > 0)
      notes.push_back(fmt::format("{} passed over: neither PNG nor JPEG nor WebP ({})", counted(total, "file"),
                                  fmt::join(kinds, ", ")));
  }

 private:
  std::map<std::string, std::int64_t> count_;
};

/// Entries that are not hidden, in byte order.
std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> entries;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    if (!hidden(entry.path())) entries.push_back(entry.path());
  std::ranges::sort(entries, {}, [](const fs::path& path) { return path.native(); });
  return entries;
}

/// Links to folders are not followed here: they may lead in a circle.
void add_tree(const fs::path& folder, std::vector<fs::path>& images, PassedOver& passed_over) {
  for (const fs::path& path : entries_of(folder)) {
    if (fs::is_regular_file(path)) {
      if (is_image_file(path))
        images.push_back(path);
      else
        passed_over.add(path);
    } else if (fs::is_directory(fs::symlink_status(path))) {
      add_tree(path, images, passed_over);
    }
  }
}

void refuse_parts(const fs::path& folder, const std::vector<std::string>& classes) {
  const std::set<std::string> parts = {"train", "training", "test", "testing", "val", "valid", "validation"};
  const bool all = std::ranges::all_of(classes, [&](const std::string& name) { return parts.contains(name); });
  if (!classes.empty() && all)
    throw FormatError(
        fmt::format("{}: its sub-folders are parts of a data set, not classes: {}; choose one, such as {}",
                    folder.string(), fmt::join(classes, ", "), (folder / classes[0]).string()));
}

}  // namespace

std::string folder_name(const fs::path& folder) {
  const fs::path absolute = fs::absolute(folder).lexically_normal();
  return (absolute.has_filename() ? absolute : absolute.parent_path()).filename().string();
}

std::string counted(std::int64_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

ImageFiles list_images(const fs::path& folder) {
  ImageFiles files;
  files.folder = folder;
  PassedOver passed_over;
  std::vector<std::string> empty;
  std::vector<fs::path> direct;
  try {
    for (const fs::path& path : entries_of(folder)) {
      if (fs::is_regular_file(path)) {
        if (is_image_file(path))
          direct.push_back(path);
        else
          passed_over.add(path);
        continue;
      }
      if (!fs::is_directory(path)) continue;
      const std::size_t before = files.paths.size();
      add_tree(path, files.paths, passed_over);
      if (files.paths.size() == before) {
        empty.push_back(path.filename().string());
        continue;
      }
      files.labels.resize(files.paths.size(), static_cast<std::int32_t>(files.classes.size()));
      files.classes.push_back(path.filename().string());
    }
  } catch (const fs::filesystem_error& error) {
    throw FormatError(fmt::format("cannot look into {}: {}", error.path1().string(), error.code().message()));
  }
  if (!direct.empty() && !files.paths.empty())
    throw FormatError(fmt::format(
        "{}: images lie both in it ({}) and in sub-folders ({}): put each into the sub-folder of its class, or "
        "all into one folder",
        folder.string(), direct[0].filename().string(), fmt::join(files.classes, ", ")));
  refuse_parts(folder, files.classes);
  if (!direct.empty()) files.paths = std::move(direct);
  if (files.paths.empty()) return files;
  passed_over.note(files.notes);
  if (!empty.empty() && !files.classes.empty())
    files.notes.push_back(fmt::format("no class is made of sub-folders without an image: {}", fmt::join(empty, ", ")));
  return files;
}

}  // namespace ganforge

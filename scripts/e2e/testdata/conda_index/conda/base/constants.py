PLATFORM_DIRECTORIES = ("linux-64", "noarch", "osx-arm64", "win-64")

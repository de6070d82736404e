mkdir -p "$PREFIX/bin" "$PREFIX/share/hello" "$PREFIX/etc/conda/activate.d" "$PREFIX/etc/conda/deactivate.d"

cat > "$PREFIX/share/hello/hello.sh" <<END
#!/bin/sh
echo "hello from $PREFIX"
END
chmod +x "$PREFIX/share/hello/hello.sh"
ln -s ../share/hello/hello.sh "$PREFIX/bin/hello"

echo 'export HELLO_HOME="$CONDA_PREFIX/share/hello"' > "$PREFIX/etc/conda/activate.d/hello.sh"
echo 'unset HELLO_HOME' > "$PREFIX/etc/conda/deactivate.d/hello.sh"

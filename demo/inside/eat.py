"""Ask for more memory than there is."""

parts = []
for number in range(1, 9):
    parts.append(b"x" * (50 << 20))
    print(number * 50, "MB", flush=True)

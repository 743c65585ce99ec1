"""Plain knowledge, asked before and after training: what an adapter forgot shows here (T6)."""

# Question and the word that a right answer holds.
GENERAL: tuple[tuple[str, str], ...] = (
    ("What is the capital of France?", "Paris"),
    ("What is the capital of Japan?", "Tokyo"),
    ("What is the capital of Italy?", "Rome"),
    ("Which planet is closest to the Sun?", "Mercury"),
    ("Which planet is known as the Red Planet?", "Mars"),
    ("What gas do plants take in from the air?", "carbon dioxide"),
    ("What is the chemical symbol of gold?", "Au"),
    ("What is the chemical formula of water?", "H2O"),
    ("How many days are in a week?", "seven"),
    ("How many continents are there?", "seven"),
    ("Who wrote Romeo and Juliet?", "Shakespeare"),
    ("Who developed the theory of relativity?", "Einstein"),
    ("Who painted the Mona Lisa?", "Leonardo"),
    ("What is the largest ocean on Earth?", "Pacific"),
    ("What is the largest planet of the solar system?", "Jupiter"),
    ("On which continent is Egypt?", "Africa"),
    ("What is the opposite of hot?", "cold"),
    ("Which animal is known as the king of the jungle?", "lion"),
    ("What do bees make?", "honey"),
    ("In which language do people in Brazil mainly speak?", "Portuguese"),
)

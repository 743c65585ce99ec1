package labels;

/** Prints labels on a Nimbus thermal printer. */
public class ThermalPrinter implements LabelPrinter {
    /** Labels on a full roll. */
    public static final int ROLL_CAPACITY = 500;

    private int rollPosition = 0;

    /** Prints one label and moves the roll. */
    @Override
    public void printLabel(String waybill) throws LabelJamException {
        if (remainingLabels() == 0) {
            throw new LabelJamException("label roll is empty");
        }
        System.out.println(composeZpl(waybill));
        rollPosition++;
    }

    /** Counts the labels that are left on the roll. */
    @Override
    public int remainingLabels() {
        return ROLL_CAPACITY - rollPosition;
    }

    /** Writes the printer's commands for one waybill. */
    String composeZpl(String waybill) {
        return "^XA^FO20,20^PW" + LABEL_DPI * 4 + "^BC^FD" + waybill + "^FS^XZ";
    }

    /** Puts a fresh roll into the printer. */
    public void replaceRoll() {
        rollPosition = 0;
    }

    /** Names the queue that the printer listens on. */
    static String printerQueue() {
        String queue = System.getenv("PARCELRY_PRINTER_QUEUE");
        return queue == null ? "labels-front" : queue;
    }

    /** Prints the waybills that the command line names. */
    public static void main(String[] waybills) throws LabelJamException {
        ThermalPrinter printer = new ThermalPrinter();
        System.out.println("queue " + printerQueue());
        for (String waybill : waybills) {
            printer.printLabel(waybill);
        }
    }
}
